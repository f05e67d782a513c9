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
offset.storage.file.filename={folder}/connect.offsets
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


class Worker:
    """A running worker: a real one with `jars`, otherwise ours. `files` are configurations of connectors."""

    def __init__(self, kind, folder, files=(), jars=None):
        self.kind, self.port = kind, free_port()
        folder = pathlib.Path(folder) / f"{kind}-{self.port}"
        folder.mkdir(parents=True)
        properties = folder / "worker.properties"
        kafka = os.environ["KAFKA_BOOTSTRAP"]
        plugins = f"{jars}/sink" if jars else "/usr/share/java"
        properties.write_text(WORKER.format(kafka=kafka, folder=folder, port=self.port, plugins=plugins))
        self.log = folder / "log"
        if jars:
            command = ["java", "-Xmx512M", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={jars}/log4j2.properties"]
            command += os.environ.get("CONNECT_OPTIONS", "").split()
            command += ["-cp", f"{jars}/libs/*", "org.apache.kafka.connect.cli.ConnectStandalone"]
        else:
            command = [os.environ.get("AQUEDUCT", "target/debug/aqueduct"), "connect"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, properties, *files], stdout=log, stderr=log, start_new_session=True)
        try:
            until(f"{kind} answers; see {self.log}", self.answers)
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

    def answers(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.kind} has ended with {self.process.returncode}: {self.log.read_text()[-3000:]}")
        try:
            return self.call("GET", "/")[0] == 200
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
