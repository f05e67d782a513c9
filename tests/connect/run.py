#!/usr/bin/env python3
"""Runs `aqueduct connect` over a real Kafka and the Pub/Sub emulator: what it publishes, and what survives a kill.

Needs KAFKA_BOOTSTRAP, PUBSUB_EMULATOR_HOST and a built target/debug/aqueduct.
"""

import http.server
import json
import os
import pathlib
import sys
import tempfile
import threading

from fixtures import PROJECT, Reader, check, create_topic, kafka, produce, service_account
from worker_pair import SINK, Worker, until

PEOPLE = "person-"


def config(topic, **more):
    base = {
        "name": topic,
        "connector.class": SINK,
        "topics": topic,
        "cps.project": PROJECT,
        "cps.topic": topic,
        "cps.useEmulator": "true",
        "enableCompression": "true",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "transforms": "mask",
        "transforms.mask.type": "org.apache.kafka.connect.transforms.MaskField$Value",
        "transforms.mask.fields": "user_id",
        # The group waits as long for a worker that was killed. A third of it is the time to drain.
        "consumer.override.session.timeout.ms": "6000",
    }
    base.update({key.replace("__", "."): value for key, value in more.items()})
    return base


def event(number):
    return f"k{number}", json.dumps({"id": number, "user_id": f"{PEOPLE}{number}", "page": "/a"})


def events(start, end):
    return [event(number) for number in range(start, end)]


BAD = [("k", f'{{"id": 1, "user_id": "{PEOPLE}x"')]


class Run:
    """One topic, the connector of the same name, and what it publishes."""

    def __init__(self, topic, folder):
        self.topic = topic
        create_topic(topic, partitions=3)
        self.reader = Reader(topic)
        self.file = pathlib.Path(folder) / f"{topic}.json"
        self.file.write_text(json.dumps({"name": topic, "config": config(topic, metadata__publish="true")}))

    def put(self, worker, action):
        return worker.call("PUT", f"/connectors/{self.topic}/{action}")[0]

    def committed(self, worker):
        return sum(worker.committed(self.topic).values())


def publishes(run, folder):
    """From a standalone file to messages, offsets and two kills."""
    produce(run.topic, events(0, 200))
    worker = Worker("ours", folder, [run.file])
    until("200 events arrive", lambda: run.reader.ids() == set(range(200)))
    expected = {json.dumps({"id": number, "user_id": "", "page": "/a"}, separators=(",", ":")) for number in range(200)}
    check("messages are what the configuration says", {data for data, _, _ in run.reader.messages} == expected)
    metadata = {"kafka.topic", "kafka.partition", "kafka.offset", "kafka.timestamp"}
    check("metadata is published, and no key", all(set(more) == metadata for _, more, _ in run.reader.messages))
    until("the offsets are committed", lambda: run.committed(worker) == 200)
    groups = kafka("consumer.group.ConsumerGroupCommand", "--list")
    check("the group is the one that consoles look for", f"connect-{run.topic}" in groups.split(), groups)
    for start in (200, 300):
        produce(run.topic, events(start, start + 50))
        # At an arbitrary moment of the work on these.
        worker.kill()
        produce(run.topic, events(start + 50, start + 100))
        worker = Worker("ours", folder, [run.file])
        until("nothing is lost by a kill", lambda: run.reader.ids() >= set(range(start + 100)))
    return worker


def changes_state(run, worker):
    check("pause", run.put(worker, "pause") == 202 and worker.state(run.topic) == ("PAUSED", ["PAUSED"]))
    produce(run.topic, events(400, 450))
    check("a paused connector publishes nothing", not run.reader.ids() & set(range(400, 450)))
    check("resume", run.put(worker, "resume") == 202)
    until("it continues after resume", lambda: run.reader.ids() >= set(range(450)))


def fails_alone(run, other, worker):
    """A record that cannot be published, next to a healthy connector; then the record is skipped."""
    status, _, body = worker.call("POST", "/connectors", {"name": other.topic, "config": config(other.topic, aqueduct__key="forward", orderingKeySource="key")})
    check("a second connector", status == 201, body)
    produce(run.topic, BAD)
    until("a bad record fails the task", lambda: worker.state(run.topic) == ("RUNNING", ["FAILED"]))
    produce(other.topic, events(0, 50))
    until("the other connector works on", lambda: other.reader.ids() == set(range(50)))
    keys = {(more["key"], key) for _, more, key in other.reader.messages}
    check("its messages have keys", keys == {(f"k{number}", f"k{number}") for number in range(50)}, keys)
    check("its state is its own", worker.state(other.topic) == ("RUNNING", ["RUNNING"]))
    trace = json.loads(worker.call("GET", f"/connectors/{run.topic}/status")[2])["tasks"][0]["trace"]
    check("the trace names the record and not its content", run.topic in trace and PEOPLE not in trace, trace)
    dead = f"{run.topic}-dead"
    letters = {"errors.tolerance": "all", "errors.log.enable": "true", "errors.deadletterqueue.topic.name": dead, "errors.deadletterqueue.topic.replication.factor": "1"}
    status, _, body = worker.call("PATCH", f"/connectors/{run.topic}/config", letters)
    check("the configuration is patched", status == 200, body)
    produce(run.topic, events(450, 500))
    until("the record is skipped", lambda: run.reader.ids() >= set(range(500)))
    until("and committed", lambda: run.committed(worker) == 501)
    letter = dead_letters(dead, 1)
    check("a dead letter has the position", f"__connect.errors.topic:{run.topic}" in letter and "__connect.errors.stage:VALUE_CONVERTER" in letter, letter)
    check("and no content", PEOPLE not in letter and letter.split("\t")[1:] == ["null", "null\n"], letter)
    worker.call("PATCH", f"/connectors/{run.topic}/config", {"aqueduct.deadletters": "payload"})
    produce(run.topic, BAD)
    until("the second one is skipped", lambda: run.committed(worker) == 502)
    letter = dead_letters(dead, 2).splitlines()[1]
    check("with its content, if that is asked for", letter.split("\t")[-2:] == list(BAD[0]), letter)


def dead_letters(topic, count):
    """Headers, key and value of each record, separated by tabs."""
    properties = [part for name in ("key", "headers") for part in ("--property", f"print.{name}=true")]
    return kafka("consumer.ConsoleConsumer", "--topic", topic, "--from-beginning", "--max-messages", str(count), *properties)


def stalls_alone(other, worker, folder):
    """A connector whose Pub/Sub does not answer takes seconds to stop. No other connector waits for it."""
    name = f"{other.topic}-stalled"
    stalled = config(other.topic, name=name, cps__useEmulator="false", cps__endpoint="localhost:1", gcp__credentials__file__path=service_account(folder))
    check("a stalled connector", worker.call("POST", "/connectors", {"name": name, "config": stalled})[0] == 201)
    until("it has read its topic", lambda: json.loads(worker.call("GET", f"/connectors/{name}/topics")[2])[name]["topics"] == [other.topic])
    stopped = threading.Event()
    stopping = threading.Thread(target=lambda: (worker.call("PUT", f"/connectors/{name}/stop"), stopped.set()))
    stopping.start()
    until("it is stopping", lambda: worker.state(name)[0] == "STOPPED")
    check("the other one can be paused meanwhile", other.put(worker, "pause") == 202 and other.put(worker, "resume") == 202)
    check("which waits for nothing", not stopped.is_set())
    stopping.join()
    check("it has committed nothing", not worker.committed(name))
    worker.call("DELETE", f"/connectors/{name}")


def changes_offsets(run, worker):
    check("stop", run.put(worker, "stop") == 204 and worker.state(run.topic) == ("STOPPED", []))
    offsets = [{"partition": {"kafka_topic": run.topic, "kafka_partition": n}, "offset": {"kafka_offset": 0}} for n in range(3)]
    status, _, body = worker.call("PATCH", f"/connectors/{run.topic}/offsets", {"offsets": offsets})
    check("offsets are altered", status == 200 and run.committed(worker) == 0, body)
    before = len(run.reader.pull())
    run.put(worker, "resume")
    until("everything is published again", lambda: len(run.reader.pull()) == before + 500)
    run.put(worker, "stop")
    status, _, body = worker.call("DELETE", f"/connectors/{run.topic}/offsets")
    check("offsets are deleted", status == 200 and run.committed(worker) == 0, body)


def waits_for_topics(run, worker):
    late = f"{run.topic}-late"
    reader = Reader(late)
    status, _, body = worker.call("POST", "/connectors", {"name": late, "config": config(late, aqueduct__key="forward", orderingKeySource="key")})
    check("a connector waits for a topic that does not exist", status == 201 and worker.state(late) == ("RUNNING", ["RUNNING"]), body)
    create_topic(late, partitions=1)
    produce(late, events(0, 20))
    until("and reads it once it exists", lambda: reader.ids() == set(range(20)))
    # With one partition, and the events of a key in order.
    check("in order", [json.loads(data)["id"] for data, _, _ in reader.messages] == list(range(20)) or len({key for _, _, key in reader.messages}) == 20)
    check("deleted", worker.call("DELETE", f"/connectors/{late}")[0] == 204 and worker.state(late)[0] == 404)


class Registry(http.server.BaseHTTPRequestHandler):
    """A schema registry with one schema, which is down for its first requests."""

    SCHEMA = {"type": "record", "name": "View", "fields": [{"name": "user_id", "type": "string"}, {"name": "id", "type": "int"}, {"name": "cps_message_body", "type": ["string", "null"]}]}
    requests = 0

    def do_GET(self):
        type(self).requests += 1
        answers = {"/schemas/ids/1": {"schema": json.dumps(self.SCHEMA)}, "/schemas/types": ["AVRO"]}
        path = self.path.split("?")[0]
        status = 503 if self.requests <= 3 else 200 if path in answers else 404
        body = json.dumps(answers.get(path, {"error_code": 40403, "message": "not found"})).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def reads_avro(run, worker):
    """Records wait for a registry that is down, whatever errors.tolerance is, and one without a schema is skipped."""
    topic = f"{run.topic}-avro"
    create_topic(topic, partitions=2)
    reader = Reader(topic)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    more = {
        "errors.tolerance": "all",
        "value.converter": "io.confluent.connect.avro.AvroConverter",
        "value.converter.schema.registry.url": f"http://127.0.0.1:{server.server_port}",
    }
    avro = {key: value for key, value in {**config(topic), **more}.items() if key != "value.converter.schemas.enable"}
    status, _, body = worker.call("POST", "/connectors", {"name": topic, "config": avro})
    check("a connector with a schema registry", status == 201, body)
    framed = lambda schema, number: (f"k{number}", f"\0\0\0\0{chr(schema)}{chr(2 * 9)}{PEOPLE}{number}{chr(2 * number)}\0\x06/ab")
    produce(topic, [framed(1, number) for number in range(20, 40)] + [framed(9, 40)])
    until("each record arrives after the registry answers", lambda: {more["id"] for _, more, _ in reader.pull()} == {str(n) for n in range(20, 40)})
    check("fields are attributes, and one is the data", all((data, more["user_id"]) == ("/ab", "") for data, more, _ in reader.messages), reader.messages[:1])
    until("the record without a schema is skipped", lambda: sum(worker.committed(topic).values()) == 21)
    check("its state is healthy", worker.state(topic) == ("RUNNING", ["RUNNING"]))
    worker.call("DELETE", f"/connectors/{topic}")
    server.shutdown()


def main():
    topic = f"connect-run-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        run, other = Run(topic, folder), Run(f"{topic}-other", folder)
        with publishes(run, folder) as worker:
            changes_state(run, worker)
            fails_alone(run, other, worker)
            stalls_alone(other, worker, folder)
            changes_offsets(run, worker)
            waits_for_topics(run, worker)
            reads_avro(run, worker)
            metrics = worker.call("GET", "/metrics")[2].decode()
            check("metrics carry the connector", f'aqueduct_connect_records_total{{connector="{topic}",outcome="published"}}' in metrics, metrics[:500])
            check("ready", worker.call("GET", "/readyz")[0] == 200)
            check("it ends with 0", worker.stop() == 0)
            check("no person is in the log", PEOPLE not in worker.log.read_text())
        people = [one for reader in (run.reader, other.reader) for one in reader.messages if PEOPLE in str(one)]
        check("no message has a person", not people, people[:1])
    print("aqueduct connect: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
