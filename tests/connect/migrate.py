#!/usr/bin/env python3
"""Moves a connector from a real Connect worker to `aqueduct connect` and back, as docs/connect.md describes it: the same
files, the same consumer group, and no event lost. Also compares what both publish of the same topic.

    migrate.py --jars target/tools/connect-4.4.0

Needs KAFKA_BOOTSTRAP, PUBSUB_EMULATOR_HOST and a built target/debug/aqueduct.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

from fixtures import PROJECT, Reader, check, create_topic, produce
from secured import Secured
from worker_pair import SINK, Worker, until

PEOPLE = "person-"

SCHEMA = {
    "type": "struct",
    "fields": [
        {"field": "cps_message_body", "type": "string"},
        {"field": "user_id", "type": "string"},
        {"field": "ip", "type": "string", "optional": True},
        {"field": "count", "type": "int64"},
        {"field": "ok", "type": "boolean"},
        {"field": "rate", "type": "double"},
        {"field": "none", "type": "string", "optional": True},
    ],
}
JSON = {
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "true",
    "transforms": "mask,pick",
    "transforms.mask.type": "org.apache.kafka.connect.transforms.MaskField$Value",
    "transforms.mask.fields": "user_id",
    "transforms.pick.type": "org.apache.kafka.connect.transforms.ReplaceField$Value",
    "transforms.pick.exclude": "ip",
    "transforms.pick.renames": "count:number",
}
BYTES = {"value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter", "aqueduct.forward": "all"}


def record(number):
    body = json.dumps({"id": number})
    payload = {"cps_message_body": body, "user_id": f"{PEOPLE}{number}", "ip": "10.0.0.1", "count": number * 10**12, "ok": number % 2 == 0, "rate": number / 8}
    return f"key-{number}", json.dumps({"schema": SCHEMA, "payload": payload})


class Move:
    """A topic of Kafka, and a file for each connector that reads it."""

    def __init__(self, folder, jars):
        self.folder, self.jars, self.secured = pathlib.Path(folder), jars, Secured(folder)
        self.topic = f"migrate-{os.getpid()}"
        create_topic(self.topic, partitions=3)
        os.environ["CONNECT_OPTIONS"] = self.secured.java_options()
        # For ours, which trusts what the system trusts.
        os.environ["SSL_CERT_FILE"] = str(self.secured.certificate)

    def file(self, name, more):
        """A configuration that both workers take as it is."""
        config = {
            "name": name,
            "connector.class": SINK,
            "topics": self.topic,
            "cps.project": PROJECT,
            "cps.topic": name,
            "cps.endpoint": self.secured.endpoint,
            "gcp.credentials.file.path": self.secured.credentials,
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "metadata.publish": "true",
            "aqueduct.key": "forward",
            **more,
        }
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(config))
        return path

    def worker(self, kind, *files):
        return Worker(kind, self.folder, files, self.jars if kind == "real" else None)


def moves(move):
    """From the real worker to ours, back, and to ours again. Each stops as a service manager stops it."""
    name = f"{move.topic}-moved"
    reader, file = Reader(name), move.file(name, JSON)
    done = 0
    for kind in ("real", "ours", "real", "ours"):
        produce(move.topic, map(record, range(done, done + 300)))
        done += 300
        with move.worker(kind, file) as worker:
            until(f"{done} events with {kind}", lambda: reader.ids() >= set(range(done)))
            # A worker commits each second, and when it stops.
        check(f"{kind}: nothing is lost", reader.ids() == set(range(done)))
        check(f"{kind}: it continues where the other one stopped", len(reader.messages) == done, len(reader.messages))
    check("no person is in a message", PEOPLE not in str(reader.messages))


def takes_over(move):
    """From a distributed worker of Connect to one of ours with the same properties, and back. The connector is nowhere but in
    the topic of configurations."""
    name, group = f"{move.topic}-shared", f"{move.topic}-workers"
    reader, file = Reader(name), move.file(name, JSON)
    done = 0
    for kind in ("real", "ours", "real"):
        jars = move.jars if kind == "real" else None
        with Worker(kind, move.folder, jars=jars, group=group) as worker:
            if not done:
                status, _, body = worker.call("POST", "/connectors", {"name": name, "config": json.loads(file.read_text())})
                check("a connector is created with Connect", status == 201, body)
            until(lambda: f"{kind} runs the connector: {worker.state(name)}", lambda: worker.state(name) == ("RUNNING", ["RUNNING"]))
            produce(move.topic, map(record, range(1200 + done, 1200 + done + 300)))
            done += 300
            until(f"{done} more events with {kind}", lambda: reader.ids() >= set(range(1200 + done)))
        check(f"{kind}: it continues where the other cluster stopped", len(reader.messages) == 1200 + done, len(reader.messages))


def publishes_the_same(move):
    """Two connectors of each worker over the whole topic."""
    for kind, more in (("json", JSON), ("bytes", BYTES)):
        found = []
        for worker_kind in ("real", "ours"):
            name = f"{move.topic}-{kind}-{worker_kind}"
            reader = Reader(name)
            with move.worker(worker_kind, move.file(name, more)):
                until(f"all events of {name}", lambda: len(reader.pull()) >= 2100)
            found.append(sorted((data, sorted(attributes.items()), key) for data, attributes, key in reader.messages))
        differences = [(real, ours) for real, ours in zip(*found) if real != ours]
        check(f"both publish the same messages ({kind})", found[0] == found[1], (len(found[0]), len(found[1]), differences[:1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--jars", type=pathlib.Path, required=True, help="Connect's jars in libs, and Google's sink in sink")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        move = Move(folder, options.jars.resolve())
        moves(move)
        takes_over(move)
        publishes_the_same(move)
    print("migration: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
