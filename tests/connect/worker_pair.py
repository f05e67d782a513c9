"""A real Kafka Connect worker with Google's sink, and `aqueduct connect`: how each is started, called and stopped."""

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

SINK = "com.google.pubsub.kafka.sink.CloudPubSubSinkConnector"

WORKER = """\
bootstrap.servers={kafka}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.converters.ByteArrayConverter
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:{port}
plugin.path={plugins}
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, condition, seconds=90):
    """The first true value of `condition`. Polls, because both workers are other processes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"not within {seconds} s: {what() if callable(what) else what}")


STANDALONE = "offset.storage.file.filename={folder}/connect.offsets\n"

DISTRIBUTED = """\
group.id={group}
config.storage.topic={group}-configs
config.storage.replication.factor=1
status.storage.topic={group}-states
status.storage.replication.factor=1
offset.storage.topic={group}-offsets
offset.storage.replication.factor=1
session.timeout.ms=6000
heartbeat.interval.ms=1000
"""


class Worker:
    """A running worker: a real one with `jars`, otherwise ours. `files` are configurations of connectors of a standalone
    worker; a distributed one has a `group`. `more` are further properties, of which the last one of a key counts."""

    def __init__(self, kind, folder, files=(), jars=None, group=None, more="", is_up=None):
        self.kind, self.port = kind, free_port()
        folder = pathlib.Path(folder) / f"{kind}-{self.port}"
        folder.mkdir(parents=True)
        properties = folder / "worker.properties"
        kafka = os.environ["KAFKA_BOOTSTRAP"]
        plugins = f"{jars}/sink" if jars else "/usr/share/java"
        text = WORKER + (DISTRIBUTED if group else STANDALONE) + more
        properties.write_text(text.format(kafka=kafka, folder=folder, port=self.port, plugins=plugins, group=group))
        self.log = folder / "log"
        if jars:
            command = ["java", "-Xmx512M", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={jars}/log4j2.properties"]
            command += os.environ.get("CONNECT_OPTIONS", "").split()
            command += ["-cp", f"{jars}/libs/*", f"org.apache.kafka.connect.cli.Connect{'Distributed' if group else 'Standalone'}"]
        else:
            command = [os.environ.get("AQUEDUCT", "target/debug/aqueduct"), "connect"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, properties, *files], stdout=log, stderr=log, start_new_session=True)
        try:
            until(f"{kind} is up; see {self.log}", (lambda: is_up(self)) if is_up else self.answers)
        except BaseException:
            self.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure:
            print(f"{self.kind} logged at last:\n{self.log.read_text()[-3000:]}")
            self.kill()
        elif self.process.poll() is None:
            self.stop()

    def answers(self, path="/", expected=200):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.kind} has ended with {self.process.returncode}: {self.log.read_text()[-3000:]}")
        try:
            return self.call("GET", path)[0] == expected
        except OSError:
            return False

    def call(self, method, path, body=None):
        """Status, headers and body."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def state(self, name):
        """The state of the connector and those of its tasks."""
        status, _, body = self.call("GET", f"/connectors/{urllib.parse.quote(name, safe='')}/status")
        if status != 200:
            return status, []
        found = json.loads(body)
        return found["connector"]["state"], [task["state"] for task in found["tasks"]]

    def committed(self, name):
        """The offsets of the connector's group, by topic and partition."""
        body = self.call("GET", f"/connectors/{urllib.parse.quote(name, safe='')}/offsets")[2]
        offsets = json.loads(body)["offsets"]
        place = lambda one: (one["partition"]["kafka_topic"], one["partition"]["kafka_partition"])
        return {place(one): one["offset"]["kafka_offset"] for one in offsets}

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks the worker to end, and returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
