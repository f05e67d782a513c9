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

PACKAGE = "com.google.pubsub.kafka.sink."
SINK = PACKAGE + "CloudPubSubSinkConnector"

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
    """A running worker. `files` are configurations of connectors."""

    def __init__(self, kind, folder, jars, files=()):
        self.kind, self.port = kind, free_port()
        folder = pathlib.Path(folder) / f"{kind}-{self.port}"
        folder.mkdir(parents=True)
        worker = folder / "worker.properties"
        kafka = os.environ["KAFKA_BOOTSTRAP"]
        worker.write_text(WORKER.format(kafka=kafka, folder=folder, port=self.port, plugins=f"{jars}/sink"))
        self.log = folder / "log"
        if kind == "ours":
            command = [os.environ.get("AQUEDUCT", "target/debug/aqueduct"), "connect"]
        else:
            command = ["java", "-Xmx512M", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={jars}/log4j2.properties"]
            command += os.environ.get("CONNECT_OPTIONS", "").split()
            command += ["-cp", f"{jars}/libs/*", "org.apache.kafka.connect.cli.ConnectStandalone"]
        log = self.log.open("w")
        self.process = subprocess.Popen([*command, worker, *files], stdout=log, stderr=log, start_new_session=True)
        until(f"{kind} answers; see {self.log}", self.answers)

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

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
