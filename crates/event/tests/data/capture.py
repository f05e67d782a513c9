#!/usr/bin/env python3
"""Stores what a release publishes, as test data for the releases after it.

    python3 deploy/services/services.py run --only kafka,pubsub -- \
      python3 crates/event/tests/data/capture.py target/release/aqueduct crates/event/tests/data/0.1.0

It writes marks.ndjson, each line the data of one mark as it was on the wire, and messages.ndjson, each line the
attributes and the data of one data message. Standard library only.
"""

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

NAME = f"captured-{os.getpid()}"
PROJECT = "aqueduct-test"
CONFIG = f"""
[kafka]
bootstrap_servers = "{os.environ['KAFKA_BOOTSTRAP']}"
topics = ["{NAME}"]
group_id = "{NAME}"
group_instance_id = ""
start = "latest"
[pubsub]
project = "{PROJECT}"
topic = "{NAME}"
subscription = "{NAME}-ctr"
emulator_host = "{os.environ['PUBSUB_EMULATOR_HOST']}"
[anonymise]
pseudonymise = ["/user_id", "/session/user", "/items/*/seller_id"]
remove = ["/ip"]
strip_query = ["/page"]
forward = "all"
key = "pseudonymise"
max_rejects = "100%"
[events]
time = "/time"
id = "/event_id"
[[flows]]
name = "f"
by = {{ page = "/page" }}
views = {{ "/type" = "view" }}
clicks = {{ "/type" = "click" }}
window = {{ size = "1m" }}
[writer]
kind = "sqlite"
path = "rows.db"
[service]
listen = "127.0.0.1:0"
"""
# How many records the group finds, and how many are written while it reads.
BEFORE, WRITTEN = 7, 40


def main(binary, folder):
    with tempfile.TemporaryDirectory() as home:
        pathlib.Path(home, "aqueduct.toml").write_text(CONFIG)
        run = lambda *words: subprocess.run([binary, *words], cwd=home, check=True)
        run("keys", "new")
        create_topic()
        run("generate", "--events", str(BEFORE), "--seed", "1")
        run("setup")
        connector = subprocess.Popen([binary, "connector"], cwd=home)
        try:
            messages, marks = [], pulled(f"{NAME}-ctr-marks", lambda found: any(ranges(found)))
            run("generate", "--events", str(WRITTEN), "--seed", "2", "--broken", "30%")
            marks += pulled(f"{NAME}-ctr-marks", lambda found: position(found) >= BEFORE + WRITTEN)
            messages = pulled(f"{NAME}-ctr", lambda found: len(found) + rejected(marks) >= WRITTEN)
        finally:
            connector.terminate()
            connector.wait()
    # Marks without ranges are the same but for their times.
    kept = [mark for mark in marks if list(ranges([mark]))]
    # The replica is called after the machine.
    lines = [re.sub(r'"replica":"[^"]*"', '"replica":"replica-1"', data(mark)) for mark in kept]
    pathlib.Path(folder, "marks.ndjson").write_text("".join(f"{line}\n" for line in lines))
    lines = [json.dumps({"attributes": m["attributes"], "data": data(m)}, ensure_ascii=False) for m in messages]
    pathlib.Path(folder, "messages.ndjson").write_text("".join(f"{line}\n" for line in sorted(lines)))
    print(f"{len(kept)} marks, {len(messages)} messages, {rejected(marks)} rejects")


def create_topic():
    words = ["--bootstrap-server", os.environ["KAFKA_BOOTSTRAP"], "--create", "--topic", NAME, "--partitions", "2"]
    tool = "org.apache.kafka.tools.TopicCommand"
    subprocess.run(["java", "-cp", "target/services/kafka/libs/*", tool, *words], check=True)


def pulled(subscription, is_enough):
    """Pulls and acknowledges until it is enough."""
    found, deadline = [], time.monotonic() + 60
    while not is_enough(found):
        if time.monotonic() > deadline:
            sys.exit(f"{subscription}: {len(found)} messages in a minute are not enough")
        received = post(subscription, "pull", {"maxMessages": 100}).get("receivedMessages", [])
        if received:
            post(subscription, "acknowledge", {"ackIds": [one["ackId"] for one in received]})
        found += [one["message"] for one in received]
    return found


def post(subscription, verb, body):
    url = f"http://{os.environ['PUBSUB_EMULATOR_HOST']}/v1/projects/{PROJECT}/subscriptions/{subscription}:{verb}"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def data(message):
    return base64.b64decode(message["data"]).decode()


def partitions(marks):
    return (partition for mark in marks for partition in json.loads(data(mark))["partitions"])


def ranges(marks):
    return (one for partition in partitions(marks) for one in partition.get("ranges", []))


def rejected(marks):
    return sum(one["to"] - one["from"] for one in ranges(marks) if one["reason"].startswith("rejected:"))


def position(marks):
    """How far all partitions were read."""
    found = {}
    for one in partitions(marks):
        found[one["partition"]] = max(found.get(one["partition"], 0), one["position"])
    return sum(found.values())


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2])
