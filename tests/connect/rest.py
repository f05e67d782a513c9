"""Calls a real Connect worker and ours in the same way, and compares the answers.

    rest.py --jars target/tools/connect-4.4.0

Needs KAFKA_BOOTSTRAP, PUBSUB_EMULATOR_HOST. What differs on purpose is marked at its call, with the reason, and listed in
docs/connect.md.
"""

import argparse
import json
import os
import re
import sys
import tempfile

from worker_pair import SINK, Worker, until

# How an answer is compared.
SAME = "same"  # status and body, but for what `normalised` takes out
SHAPE = "shape"  # status, and the names and types of the body
STATUS = "status"  # status alone

MASK = "org.apache.kafka.connect.transforms.MaskField$Value"


def config(topic, **more):
    base = {
        "connector.class": SINK,
        "tasks.max": "1",
        "topics": topic,
        "cps.project": "test-project",
        "cps.topic": topic,
        "cps.endpoint": "localhost:1",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "transforms": "mask",
        "transforms.mask.type": MASK,
        "transforms.mask.fields": "user_id",
    }
    base.update({key.replace("__", "."): value for key, value in more.items()})
    return {key: value for key, value in base.items() if value is not None}


def calls(topic):
    """Method, path, body, comparison."""
    good = config(topic)
    bad = lambda **more: ("POST", "/connectors", {"name": "bad", "config": config(topic, **more)}, SAME)
    missing = [
        ("GET", "/connectors/none", None, SAME),
        ("GET", "/connectors/none/status", None, SAME),
        ("GET", "/connectors/none/config", None, SAME),
        ("GET", "/connectors/none/tasks", None, SAME),
        ("GET", "/connectors/none/tasks/0/status", None, SAME),
        ("GET", "/connectors/none/offsets", None, SAME),
        ("GET", "/connectors/none/topics", None, SAME),
        ("PUT", "/connectors/none/topics/reset", None, SAME),
        ("DELETE", "/connectors/none", None, SAME),
        ("PUT", "/connectors/none/pause", None, STATUS),
        ("PUT", "/connectors/none/resume", None, STATUS),
        ("POST", "/connectors/none/restart?includeTasks=true", None, STATUS),
        ("PATCH", "/connectors/none/config", {"a": "b"}, SAME),
    ]
    invalid = [
        ("POST", "/connectors", {"name": "bad", "config": {}}, SAME),
        # The list of the classes that there are is another one.
        ("POST", "/connectors", {"name": "bad", "config": {"connector.class": "nope"}}, STATUS),
        ("POST", "/connectors", {"name": "bad", "config": {"connector.class": SINK, "aqueduct.forward": "all"}}, SAME),
        bad(topics=""),
        bad(topics__regex="a.*"),
        bad(topics=f"{topic},{topic}"),
        bad(maxBufferSize="zero", tasks__max="0", maxBufferBytes="99999999", orderingKeySource="no", metadata__publish="maybe", errors__tolerance="some"),
        bad(transforms__mask__fields=""),
        bad(value__converter="Nope", value__converter__schemas__enable=None),
        bad(transforms="mask,nope"),
        # The message says which transforms there are.
        ("POST", "/connectors", {"name": "bad", "config": config(topic, transforms__mask__type="Nope", transforms__mask__fields=None)}, STATUS),
        bad(name="other"),
        bad(errors__deadletterqueue__topic__name=topic),
        ("POST", "/connectors", {"name": " ", "config": good}, SAME),
        ("POST", "/connectors", {"name": "a\nb", "config": good}, SAME),
        ("POST", "/connectors", {"name": "bad", "config": dict(good, n=None)}, SAME),
        ("PUT", "/connectors/bad/config", config(topic, tasks__max="x"), SAME),
        ("GET", "/connectors", None, SAME),
    ]
    life = [
        ("POST", "/connectors", {"name": "one", "config": good, "initial_state": "PAUSED"}, SAME),
        ("wait", "one", ("PAUSED", None), None),
        ("POST", "/connectors", {"name": "one", "config": good}, SAME),
        ("GET", "/connectors", None, SAME),
        ("GET", "/connectors?expand=info&expand=status", None, SAME),
        ("GET", "/connectors?expand=nope", None, SAME),
        ("GET", "/connectors/one", None, SAME),
        ("GET", "/connectors/one/config", None, SAME),
        ("GET", "/connectors/one/tasks", None, SAME),
        ("GET", "/connectors/one/tasks/7/status", None, SAME),
        ("GET", "/connectors/one/topics", None, SAME),
        ("GET", "/connectors/one/offsets", None, SAME),
        ("PUT", "/connectors/one/resume", None, SAME),
        ("wait", "one", ("RUNNING", 1), None),
        ("GET", "/connectors/one/status", None, SHAPE),
        ("GET", "/connectors/one/tasks/0/status", None, SHAPE),
        ("GET", "/connectors/one", None, SAME),
        ("GET", "/connectors/one/tasks", None, SHAPE),
        ("PATCH", "/connectors/one/offsets", {"offsets": [{"partition": {"kafka_topic": topic, "kafka_partition": 0}, "offset": {"kafka_offset": 1}}]}, SAME),
        ("DELETE", "/connectors/one/offsets", None, SAME),
        ("PUT", "/connectors/one/pause", None, SAME),
        ("wait", "one", ("PAUSED", 1), None),
        ("PATCH", "/connectors/one/config", {"metadata.publish": "true"}, SHAPE),
        ("GET", "/connectors/one/config", None, SAME),
        ("PUT", "/connectors/one/config", good, SHAPE),
        ("PUT", "/connectors/one/config", config(topic, name="zwei"), SAME),
        ("PUT", "/connectors/two/config", good, SHAPE),
        ("wait", "two", ("RUNNING", 1), None),
        ("POST", "/connectors/two/restart", None, SAME),
        ("POST", "/connectors/two/tasks/9/restart", None, SAME),
        ("POST", "/connectors/two/tasks/0/restart", None, SAME),
        ("wait", "two", ("RUNNING", 1), None),
        ("POST", "/connectors/two/restart?includeTasks=true", None, SHAPE),
        ("wait", "two", ("RUNNING", 1), None),
        ("PUT", "/connectors/two/topics/reset", None, SAME),
        ("PUT", "/connectors/one/stop", None, SAME),
        ("wait", "one", ("STOPPED", 0), None),
        ("GET", "/connectors/one/tasks", None, SAME),
        ("GET", "/connectors/one/status", None, SAME),
        ("PATCH", "/connectors/one/offsets", {"offsets": [{"partition": {"kafka_topic": topic, "kafka_partition": 0}, "offset": {"kafka_offset": 3}}]}, SAME),
        ("GET", "/connectors/one/offsets", None, SAME),
        ("PATCH", "/connectors/one/offsets", {"offsets": [{"partition": {"kafka_topic": topic}, "offset": {"kafka_offset": 3}}]}, SAME),
        ("PATCH", "/connectors/one/offsets", {"offsets": []}, SAME),
        ("PATCH", "/connectors/one/offsets", {}, SAME),
        ("PATCH", "/connectors/one/offsets", {"offsets": [{"partition": {"kafka_topic": topic, "kafka_partition": 0}, "offset": {"kafka_offset": "x"}}]}, SAME),
        ("DELETE", "/connectors/one/offsets", None, SAME),
        ("GET", "/connectors/one/offsets", None, SAME),
        ("POST", "/connectors", {"name": "a/b", "config": good, "initial_state": "STOPPED"}, STATUS),
        ("GET", "/connectors/a%2Fb", None, SAME),
        ("DELETE", "/connectors/a%2Fb", None, SAME),
        ("DELETE", "/connectors/one", None, SAME),
        ("wait", "one", (404, None), None),
        ("GET", "/connectors/one/status", None, SAME),
        ("DELETE", "/connectors/two", None, SAME),
    ]
    plugins = [
        ("GET", "/", None, SHAPE),
        ("GET", "/health", None, SAME),
        ("GET", "/connector-plugins/Nope/config", None, SAME),
        # Our own keys come after those of the sink and of Connect, and the documentation is our own.
        *[("GET", f"/connector-plugins/{name}/config", None, "keys") for name in [
            SINK, "CloudPubSubSinkConnector", MASK, "org.apache.kafka.connect.json.JsonConverter",
            "org.apache.kafka.connect.storage.StringConverter", "org.apache.kafka.connect.converters.ByteArrayConverter",
            *[f"org.apache.kafka.connect.transforms.{name}" for name in [
                "InsertField$Value", "ReplaceField$Key", "ExtractField$Value", "RegexRouter", "Filter",
                "predicates.HasHeaderKey", "predicates.TopicNameMatches", "predicates.RecordIsTombstone"]]]],
        ("PUT", f"/connector-plugins/{SINK}/config/validate", dict(good, name="x"), "validation"),
        ("PUT", "/connector-plugins/CloudPubSubSinkConnector/config/validate", {"connector.class": SINK, "maxBufferSize": "x", "aqueduct.forward": "all"}, "validation"),
        ("PUT", "/connector-plugins/Nope/config/validate", good, SAME),
        ("GET", "/admin/loggers", None, "loggers"),
        ("GET", "/admin/loggers/root", None, SAME),
        ("GET", "/admin/loggers/nope", None, SAME),
        ("PUT", "/admin/loggers/org.apache.kafka.connect", {"level": "DEBUG"}, SHAPE),
        ("PUT", "/admin/loggers/org.apache.kafka.connect", {"level": "NOPE"}, SAME),
        ("PUT", "/admin/loggers/org.apache.kafka.connect", {}, SAME),
        ("PUT", "/admin/loggers/org.apache.kafka.connect?scope=cluster", {"level": "INFO"}, STATUS),
        ("GET", "/nope", None, SAME),
        ("PUT", "/connectors", None, SAME),
        ("POST", "/connectors/one", None, SAME),
    ]
    return missing + invalid + life + plugins


# Answers that are better than those of a standalone worker, which are 500.
BETTER = [
    ("PUT", "/connectors/none/stop", None),
    ("POST", "/connectors/none/restart", None),
    ("POST", "/connectors/none/tasks/0/restart", None),
    ("POST", "/connectors", {"name": "bad"}),
    ("POST", "/connectors", {"name": "bad", "config": {"connector.class": SINK}, "initial_state": "NOPE"}),
    ("POST", "/connectors", {"name": "bad", "config": {"connector.class": SINK}, "more": 1}),
    ("POST", "/connectors", b"{nope"),
    ("POST", "/connectors", b""),
    ("POST", "/connectors", b"[]"),
    ("PUT", "/connector-plugins/CloudPubSubSinkConnector/config/validate", {}),
]


def normalised(body, worker):
    """Without what is different by its nature: the port, traces, and time."""
    text = body.decode().replace(str(worker.port), "PORT")
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return without_traces(value)


def without_traces(value):
    if isinstance(value, dict):
        return {key: without_traces(inner) for key, inner in value.items() if key not in ("trace", "last_modified")}
    if isinstance(value, list):
        return [without_traces(inner) for inner in value]
    return value


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
    values = {entry["value"]["name"]: (entry["value"]["value"], sorted(entry["value"]["errors"])) for entry in configs}
    return {"name": value["name"], "error_count": value["error_count"], "configs": values}


def compare(how, real, ours, workers):
    (real_status, _, real_body), (our_status, _, our_body) = real, ours
    if real_status != our_status:
        return f"status {our_status} instead of {real_status}: {our_body.decode()[:300]} | {real_body.decode()[:300]}"
    if how == STATUS:
        return None
    a, b = (normalised(body, worker) for body, worker in zip((real_body, our_body), workers))
    if how == SHAPE:
        a, b = shape(a), shape(b)
    elif how in ("keys", "validation"):
        function = keys if how == "keys" else validation
        a, b = function(a), function(b)
    elif how == "loggers":
        a, b = shape(a["root"]), shape(b["root"])
    return None if a == b else difference(a, b)


def difference(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            if key not in a or key not in b:
                return f"{path}/{key} is only in {'ours' if key in b else 'the real one'}"
            if a[key] != b[key]:
                return difference(a[key], b[key], f"{path}/{key}")
    return f"{path}: {json.dumps(b)[:500]} instead of {json.dumps(a)[:500]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jars", required=True)
    options = parser.parse_args()
    jars = os.path.abspath(options.jars)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        pair = Worker("real", folder, jars), Worker("ours", folder, jars)
        credentials = service_account(folder)
        topic = f"rest-{os.getpid()}"
        create_topic(topic)
        count = 0
        for method, path, body, how in calls(topic):
            if isinstance(body, dict):
                body = json.loads(json.dumps(body).replace('"cps.endpoint"', f'"gcp.credentials.file.path": "{credentials}", "cps.endpoint"'))
            if method == "wait":
                wanted, tasks = body
                for worker in pair:
                    until(lambda: f"{path} of {worker.kind} is {body}: {worker.state(path)}", lambda: matches(worker.state(path), wanted, tasks))
                continue
            answers = [worker.call(method, path, body) for worker in pair]
            count += 1
            problem = compare(how, *answers, pair)
            if problem:
                failures += 1
                print(f"{method} {path} {json.dumps(body)[:200] if body else ''}\n    {problem}")
        for method, path, body in BETTER:
            status, _, text = pair[1].call(method, path, body)
            count += 1
            if status != (404 if "none" in path else 400) or "error_code" not in json.loads(text):
                failures += 1
                print(f"{method} {path}: {status} {text.decode()}")
        status, _, text = pair[1].call("POST", "/connectors", b" " * 10_000_000)
        if status != 413 or "error_code" not in json.loads(text):
            failures += 1
            print(f"10 MB: {status} {text.decode()[:200]}")
        for worker in pair:
            worker.stop()
    print(f"{count} calls compared, {failures} differ")
    return 1 if failures else 0


def matches(found, state, tasks):
    return found[0] == state and (tasks is None or len(found[1]) == tasks)


def service_account(folder):
    """A key of a made-up account, so that both sinks can start without Google."""
    import subprocess

    path = os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path], check=True, capture_output=True)
    account = {
        "type": "service_account", "project_id": "test-project", "private_key_id": "1", "private_key": open(path).read(),
        "client_email": "test@test-project.iam.gserviceaccount.com", "client_id": "1", "token_uri": "http://127.0.0.1:1/token",
    }
    file = os.path.join(folder, "account.json")
    with open(file, "w") as out:
        json.dump(account, out)
    return file


def create_topic(name):
    """By Kafka's own tool."""
    import subprocess

    libs = os.path.join(os.environ["KAFKA_LIBS"], "*") if "KAFKA_LIBS" in os.environ else None
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    libs = libs or os.path.join(target, "services/kafka/libs/*")
    subprocess.run(["java", "-cp", libs, "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", os.environ["KAFKA_BOOTSTRAP"], "--create", "--topic", name, "--partitions", "2"], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
