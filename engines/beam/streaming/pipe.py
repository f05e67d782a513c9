"""A connector and a Beam pipeline as processes, which can be killed and started again."""

import os
import pathlib
import re
import signal
import subprocess
import time
import tomllib
import uuid

from configurations import Shape
from outputs import Files

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
PROJECT = "test-project"
FLINK = ["--runner=FlinkRunner", "--parallelism=2", "--checkpointingInterval=2000"]


class Failed(Exception):
    """A case cannot go on."""


class Pipe:
    def __init__(self, options, folder, shape=None):
        self.aqueduct, self.folder = options.aqueduct, folder
        folder.mkdir(parents=True)
        self.shape = shape or Shape()
        self.topic = f"beam-{uuid.uuid4().hex[:8]}"
        self.output, self.state = folder / "output", folder / "state"
        self.rows = Files(self.output)
        # Options of the pipeline and of Java; without a writer of the configuration, rows go to files.
        self.arguments, self.java = [f"--output={self.output}"], ""
        self.log = (folder / "log").open("a")
        self.processes = {}
        # How many records were ordered, and the most memory that a Flink had, in MB.
        self.records, self.peak = 0, 0
        # Pointers at which nothing is rejected any more, as it was redriven.
        self.corrected = set()
        self.configure("first")
        self.flows = {flow["name"]: flow for flow in tomllib.loads(self.config.read_text())["flows"]}
        self.run("keys", "new")
        for end in self.shape.topics:
            self.create_topic(self.topic + end, options.partitions)

    def configure(self, own):
        """Has the subscription, state and rows of an engine of its own from now on."""
        values = {"kafka": os.environ["KAFKA_BOOTSTRAP"], "pubsub": os.environ["PUBSUB_EMULATOR_HOST"], "project": PROJECT}
        self.config = self.folder / f"{own}.toml"
        self.config.write_text(self.shape.text(topic=self.topic, own=own, **values))

    def create_topic(self, name, partitions):
        libs = ROOT / "target/services/kafka/libs/*"
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", libs, "org.apache.kafka.tools.TopicCommand", "--create"]
        command += ["--bootstrap-server", os.environ["KAFKA_BOOTSTRAP"], "--topic", name, "--partitions", partitions]
        subprocess.run([str(part) for part in command], check=True, stdout=self.log, stderr=self.log)

    def command(self, name, *arguments):
        return [str(part) for part in (self.aqueduct, name, "--config", self.config, *arguments)]

    def run(self, name, *arguments):
        """Runs a command to its end, and returns what it reports."""
        command = self.command(name, *arguments)
        done = subprocess.run(command, stdout=self.log, stderr=subprocess.PIPE, text=True, timeout=300)
        self.log.write(done.stderr)
        self.log.flush()
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        return done.stderr

    def spawn(self, name, command, **more):
        log = (self.folder / f"{name}.log").open("a")
        # Optimising the code takes longer than running it on so few events.
        java = f"-XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.log.aqueduct=info {self.java}"
        environment = dict(os.environ, AQUEDUCT_JAVA_OPTIONS=java, **more)
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)

    def connector(self):
        self.spawn("connector", self.command("connector"))

    def processor(self):
        self.spawn("processor", self.command("processor"))

    def generator(self, rate, events, *more, end="", shares=("--late", "2%", "--duplicates", "1%")):
        """Sends events to the topic with this end."""
        self.records += events
        more = [*more, *shares, "--broken", "1%", "--users", "500", "--pages", "20", "--topic", self.topic + end]
        self.spawn(f"generator{end}", self.command("generate", "--rate", rate, "--events", events, *more))

    def pipeline(self, *arguments, is_new=False):
        """Starts Flink, from the last checkpoint if there is one and it is wanted."""
        command = [HERE / "run", f"--config={self.config}", *self.arguments, *FLINK]
        command += [f"--stateBackendStoragePath={self.state.as_uri()}", *arguments]
        checkpoint = None if is_new else self.checkpoint()
        if checkpoint:
            command.append(f"--savepointPath={checkpoint.as_uri()}")
        self.spawn("flink", [str(part) for part in command])
        return checkpoint

    def checkpoint(self):
        """The newest complete checkpoint; it is complete when its metadata are there."""
        complete = [path for path in self.state.glob("*/chk-*/_metadata")]
        return max(complete, key=lambda path: path.stat().st_mtime_ns).parent if complete else None

    def checkpoints(self):
        checkpoint = self.checkpoint()
        return int(checkpoint.name.split("-")[1]) if checkpoint else 0

    def has_ended(self):
        """Whether all events were sent."""
        return all(of.poll() is not None for name, of in self.processes.items() if name.startswith("generator"))

    def measure(self):
        """Notes the memory of Flink."""
        flink = self.processes.get("flink")
        if flink and flink.poll() is None:
            status = pathlib.Path(f"/proc/{flink.pid}/status").read_text()
            self.peak = max(self.peak, int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) >> 10)

    def kill(self, name):
        self.measure()
        process = self.processes.pop(name, None)
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def alive(self):
        for name, process in self.processes.items():
            if process.poll() is not None and not (name.startswith("generator") and process.returncode == 0):
                raise Failed(f"{name} ended with {process.returncode}; see {self.folder / name}.log")

    def end(self):
        for name in list(self.processes):
            self.kill(name)

    def until(self, seconds, done, what):
        limit = time.monotonic() + seconds
        while not done():
            if time.monotonic() > limit:
                raise Failed(f"{what} did not happen within {seconds} s; see the logs in {self.folder}")
            self.alive()
            time.sleep(0.2)
