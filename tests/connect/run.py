"""Runs `aqueduct connect` over a real Kafka and the Pub/Sub emulator: what it publishes, and what survives a kill.

Needs KAFKA_BOOTSTRAP, PUBSUB_EMULATOR_HOST and a built target/debug/aqueduct.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from worker_pair import SINK, Worker, until

PUBSUB = os.environ["PUBSUB_EMULATOR_HOST"]
PROJECT = "test-project"


def kafka(tool, *arguments, text=None):
    """One of Kafka's own tools."""
    libs = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "services/kafka/libs/*")
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", libs, tool, "--bootstrap-server", os.environ["KAFKA_BOOTSTRAP"], *arguments]
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=True)
    return done.stdout


def produce(topic, records):
    """Records as key and value; a tab separates them."""
    lines = "".join(f"{key}\t{value}\n" for key, value in records)
    kafka("org.apache.kafka.tools.ConsoleProducer", "--topic", topic, "--reader-property", "parse.key=true", text=lines)


def pubsub(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://{PUBSUB}/v1/projects/{PROJECT}/{path}", data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"{}")


class Reader:
    """A subscription, with everything that it has received."""

    def __init__(self, topic):
        pubsub("PUT", f"topics/{topic}", {})
        pubsub("PUT", f"subscriptions/{topic}", {"topic": f"projects/{PROJECT}/topics/{topic}"})
        self.name, self.messages = topic, []

    def pull(self):
        answer = pubsub("POST", f"subscriptions/{self.name}:pull", {"maxMessages": 500, "returnImmediately": True})
        received = answer.get("receivedMessages", [])
        if received:
            pubsub("POST", f"subscriptions/{self.name}:acknowledge", {"ackIds": [one["ackId"] for one in received]})
        for one in received:
            message = one["message"]
            data = base64.b64decode(message.get("data", "")).decode()
            self.messages.append((data, message.get("attributes", {}), message.get("orderingKey", "")))
        return self.messages

    def ids(self):
        return {json.loads(data)["id"] for data, _, _ in self.pull()}


def check(what, is_true, more=""):
    if not is_true:
        raise SystemExit(f"failed: {what} {more}")
    print(f"ok: {what}")


def config(topic, **more):
    base = {
        "name": topic,
        "connector.class": SINK,
        "topics": topic,
        "cps.project": PROJECT,
        "cps.topic": topic,
        "cps.useEmulator": "true",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "transforms": "mask",
        "transforms.mask.type": "org.apache.kafka.connect.transforms.MaskField$Value",
        "transforms.mask.fields": "user_id",
        "metadata.publish": "true",
    }
    base.update({key.replace("__", "."): value for key, value in more.items()})
    return base


def events(start, end):
    return [(f"k{n}", json.dumps({"id": n, "user_id": f"person-{n}", "page": "/a"})) for n in range(start, end)]


def main():
    topic = f"connect-run-{os.getpid()}"
    kafka("org.apache.kafka.tools.TopicCommand", "--create", "--topic", topic, "--partitions", "3")
    reader = Reader(topic)
    produce(topic, events(0, 200))
    with tempfile.TemporaryDirectory() as folder:
        # Another program has committed offsets for the group: what is below them is not read.
        file = pathlib.Path(folder) / "sink.json"
        file.write_text(json.dumps({"name": topic, "config": config(topic)}))
        worker = Worker("ours", folder, "", [file])
        until("200 events arrive", lambda: reader.ids() == set(range(200)))
        data, attributes, _ = reader.messages[0]
        event = json.loads(data)
        check("the field is masked", event["user_id"] == "" and event["page"] == "/a", data)
        check("metadata is published, and no key", set(attributes) == {"kafka.topic", "kafka.partition", "kafka.offset", "kafka.timestamp"}, attributes)
        check("no message has a person", not any("person-" in text or "person-" in str(more) for text, more, _ in reader.messages))
        committed = lambda: sum(one["offset"]["kafka_offset"] for one in json.loads(worker.call("GET", f"/connectors/{topic}/offsets")[2])["offsets"])
        until("the offsets are committed", lambda: committed() == 200)
        groups = kafka("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--list")
        check("the group is the one that consoles look for", f"connect-{topic}" in groups.split(), groups)

        worker.process.kill()
        worker.process.wait()
        produce(topic, events(200, 300))
        worker = Worker("ours", folder, "", [file])
        until("nothing is lost by a kill", lambda: reader.ids() >= set(range(300)))

        status, _, _ = worker.call("PUT", f"/connectors/{topic}/pause")
        check("pause", status == 202 and worker.state(topic) == ("PAUSED", ["PAUSED"]), worker.state(topic))
        produce(topic, events(300, 350))
        check("a paused connector publishes nothing", not reader.ids() & set(range(300, 350)))
        worker.call("PUT", f"/connectors/{topic}/resume")
        until("it continues after resume", lambda: reader.ids() >= set(range(350)))

        produce(topic, [("k", '{"id": 1, "user_id": "person-x"')])
        until("a bad record fails the task", lambda: worker.state(topic) == ("RUNNING", ["FAILED"]))
        _, _, body = worker.call("GET", f"/connectors/{topic}/status")
        trace = json.loads(body)["tasks"][0]["trace"]
        check("the trace names the record and not its content", topic in trace and "person" not in trace, trace)
        status, _, body = worker.call("PATCH", f"/connectors/{topic}/config", {"errors.tolerance": "all", "errors.log.enable": "true"})
        check("the configuration is patched", status == 200, body)
        produce(topic, events(350, 400))
        until("the record is skipped", lambda: reader.ids() >= set(range(400)))
        until("and committed", lambda: committed() == 401)

        # As kafka-consumer-groups.sh, or Connect itself, would set them.
        worker.call("PUT", f"/connectors/{topic}/stop")
        check("stopped", worker.state(topic) == ("STOPPED", []))
        reset = {"offsets": [{"partition": {"kafka_topic": topic, "kafka_partition": n}, "offset": {"kafka_offset": 0}} for n in range(3)]}
        status, _, body = worker.call("PATCH", f"/connectors/{topic}/offsets", reset)
        check("offsets are altered", status == 200 and committed() == 0, body)
        before = len(reader.pull())
        worker.call("PUT", f"/connectors/{topic}/resume")
        until("everything is published again", lambda: len(reader.pull()) == before + 400)
        worker.call("PUT", f"/connectors/{topic}/stop")
        status, _, body = worker.call("DELETE", f"/connectors/{topic}/offsets")
        check("offsets are deleted", status == 200 and committed() == 0, body)

        late = f"{topic}-late"
        Reader(late)
        status, _, body = worker.call("POST", "/connectors", {"name": late, "config": config(late, aqueduct__key="forward", orderingKeySource="key")})
        check("a connector waits for a topic that does not exist", status == 201 and worker.state(late) == ("RUNNING", ["RUNNING"]), body)
        status, _, _ = worker.call("DELETE", f"/connectors/{late}")
        check("deleted", status == 204 and worker.state(late)[0] == 404)
        metrics = worker.call("GET", "/metrics")[2].decode()
        check("metrics carry the connector", f'aqueduct_connect_records_total{{connector="{topic}",outcome="published"}}' in metrics, metrics[:500])
        check("it ends with 0", worker.stop() == 0)
        log = worker.log.read_text()
        check("no person is in the log", "person-" not in log)
    print("aqueduct connect: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
