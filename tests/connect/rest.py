#!/usr/bin/env python3
"""Calls `aqueduct connect` as clients of Kafka Connect do, and compares its answers with those of a real worker.

    rest.py                                              with those in answers.json
    rest.py --jars target/tools/connect-4.4.0            with those of a real worker, which is started
    rest.py --jars target/tools/connect-4.4.0 --record   the same, and writes answers.json
    rest.py --jars target/tools/connect-4.4.0 --distributed   distributed workers, with those of a real one

Needs KAFKA_BOOTSTRAP, and a built target/debug/aqueduct. What differs on purpose is marked at its call in rest_calls.py, with
the reason, and listed in docs/connect.md.
"""

import argparse
import json
import os
import pathlib
import socket
import sys
import tempfile

import fixtures
from rest_calls import BETTER, CREDENTIALS, SHAPE, STATUS, TOPIC, calls
from worker_pair import Worker, until

ANSWERS = pathlib.Path(__file__).parent / "answers.json"


def shape(value):
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def is_own(name):
    return name.startswith("aqueduct.") or name == "cps.useEmulator"


def keys(value):
    """Definitions by name, without the text. Defaults that are another by nature are in docs/connect.md."""
    kept = ("type", "required", "default_value", "importance", "group", "order_in_group", "width", "display_name")
    found = {key["name"]: {name: key[name] for name in kept} for key in value if not is_own(key["name"])}
    # Connect's converters need it, and get it from the worker.
    found.pop("converter.type", None)
    return found


def validation(value):
    """Names with values and errors, and the definitions of Connect's own keys."""
    own = lambda name: is_own(name) or ".predicate" in name or ".negate" in name or "converter." in name
    configs = [entry for entry in value["configs"] if not own(entry["value"]["name"])]
    values = {entry["value"]["name"]: [entry["value"]["value"], sorted(entry["value"]["errors"])] for entry in configs}
    return {"name": value["name"], "error_count": value["error_count"], "configs": values}


# What is compared of a body.
PARTS = {SHAPE: shape, "keys": keys, "validation": validation, "loggers": lambda value: shape(value["root"])}


def without_traces(value):
    if isinstance(value, dict):
        return {key: without_traces(inner) for key, inner in value.items() if key not in ("trace", "last_modified")}
    if isinstance(value, list):
        return [without_traces(inner) for inner in value]
    return value


class Run:
    """The calls to one worker, and what is compared of its answers."""

    def __init__(self, worker, topic, credentials):
        self.worker, self.topic, self.credentials = worker, topic, credentials

    def answer(self, method, path, body, how):
        """Status and body, without what is different by its nature: the port, names, traces and times."""
        if isinstance(body, dict):
            body = json.loads(json.dumps(body).replace(TOPIC, self.topic).replace(CREDENTIALS, self.credentials))
        status, _, answer = self.worker.call(method, path, body)
        if how == STATUS:
            return [status, None]
        text = answer.decode().replace(str(self.worker.port), "PORT")
        text = text.replace(self.topic, TOPIC).replace(self.credentials, CREDENTIALS)
        # The name of a distributed worker that listens on loopback.
        text = text.replace(f'"{socket.gethostname()}:PORT"', '"127.0.0.1:PORT"')
        try:
            found = without_traces(json.loads(text))
            return [status, PARTS[how](found) if how in PARTS and status < 300 else found]
        except ValueError:
            return [status, text]

    def wait(self, name, state, tasks):
        def is_there():
            found = self.worker.state(name)
            return found[0] == state and (tasks is None or found[1] == tasks)

        until(lambda: f"{name} of {self.worker.kind} is {state} {tasks}: {self.worker.state(name)}", is_there)

    def all(self):
        """The answers to all calls."""
        answers = []
        for method, path, body, how in calls():
            if method == "wait":
                self.wait(path, *body)
            else:
                answers.append(self.answer(method, path, body, how))
        return answers


def difference(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            if key not in a or key not in b:
                return f"{path}/{key} is only in {'ours' if key in b else 'the real one'}"
            if a[key] != b[key]:
                return difference(a[key], b[key], f"{path}/{key}")
    return f"{path}: {json.dumps(b)[:500]} instead of {json.dumps(a)[:500]}"


def compared(made, answers):
    """What differs between the answers of a real worker and ours."""
    problems = []
    for (method, path, body, _), real, ours in zip(made, *answers):
        if real != ours:
            what = difference(real[1], ours[1]) if real[0] == ours[0] else f"{ours} instead of {real}"[:900]
            problems.append(f"{method} {path} {json.dumps(body)[:200] if body else ''}\n    {what}")
    return problems


def with_tasks_of(real, ours, is_tasks=False):
    """Our answer, without tasks that a real cluster does not show yet: its leader makes them later, ours follow from the
    configuration."""
    if is_tasks and real == []:
        return real
    if isinstance(real, dict) and isinstance(ours, dict):
        return {key: with_tasks_of(real.get(key), value, key == "tasks") for key, value in ours.items()}
    return ours


def compare_distributed(options, topic, made):
    """What differs between a distributed worker of Connect and one of ours."""
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        credentials = fixtures.service_account(folder)
        for kind, jars in (("real", options.jars.resolve()), ("ours", None)):
            ready = lambda worker: worker.answers("/health")
            with Worker(kind, folder, jars=jars, group=f"{topic}-{kind}", is_up=ready) as worker:
                answers.append(json.loads(json.dumps(Run(worker, topic, credentials).all())))
                problems = [] if jars else better(worker)
    real, ours = answers
    ours = [
        [mine[0], with_tasks_of(theirs[1], mine[1], call[1].endswith("/tasks"))]
        for call, theirs, mine in zip(made, real, ours)
    ]
    return compared(made, (real, ours)) + problems


def better(worker):
    """Answers to bad requests that are better than those of a real worker."""
    problems = []
    for method, path, body, expected in BETTER:
        status, _, text = worker.call(method, path, body)
        if status != expected or (status >= 400 and "error_code" not in json.loads(text)):
            problems.append(f"{method} {path}: {status} {text.decode()[:200]}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--jars", type=pathlib.Path, help="Connect's jars in libs, and Google's sink in sink")
    parser.add_argument("--record", action="store_true", help="write the answers of the real worker to answers.json")
    parser.add_argument("--distributed", action="store_true", help="compare distributed workers; needs --jars")
    options = parser.parse_args()
    topic = f"rest-{os.getpid()}"
    fixtures.create_topic(topic, partitions=2)
    made = [call for call in calls() if call[0] != "wait"]
    if options.distributed:
        return report(made, compare_distributed(options, topic, made))
    with tempfile.TemporaryDirectory() as folder:
        credentials = fixtures.service_account(folder)
        if options.jars:
            with Worker("real", folder, jars=options.jars.resolve()) as worker:
                real = Run(worker, topic, credentials).all()
        else:
            recorded = json.loads(ANSWERS.read_text())
            # A call that was changed and not recorded again must not be compared with the answer to another one.
            if [entry["call"] for entry in recorded] != [f"{method} {path}" for method, path, _, _ in made]:
                sys.exit("rest.py: answers.json has other calls; record it again")
            real = [entry["answer"] for entry in recorded]
        if options.record:
            lines = [json.dumps({"call": f"{method} {path}", "answer": answer}) for (method, path, _, _), answer in zip(made, real)]
            ANSWERS.write_text("[\n" + ",\n".join(lines) + "\n]\n")
        with Worker("ours", folder) as worker:
            ours = Run(worker, topic, credentials).all()
            problems = compared(made, json.loads(json.dumps([real, ours]))) + better(worker)
    return report(made, problems)


def report(made, problems):
    for problem in problems:
        print(problem)
    print(f"{len(made) + len(BETTER)} calls, {len(problems)} answers differ")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
