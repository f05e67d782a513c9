"""What a user sees when a pipeline cannot start, cannot reach Pub/Sub, or is stopped: the exit code and the last message."""

import os
import signal
import subprocess
import time

from compare import check
from configurations import Shape
from pipe import HERE, Failed, Pipe
from proxy import Proxy
from writers import WRITERS


def faults(options, folder):
    """Pub/Sub is unavailable at the start and in the middle of the traffic, and the pipeline is stopped by each signal."""
    began = time.monotonic()
    pipe = Pipe(options, folder)
    proxy = Proxy(os.environ["PUBSUB_EMULATOR_HOST"])
    try:
        refusals(pipe)
        pipe.run("setup")
        # Only the pipeline is cut off.
        connector, pipe.config = pipe.config, folder / "behind.toml"
        pipe.config.write_text(connector.read_text().replace(os.environ["PUBSUB_EMULATOR_HOST"], proxy.address))
        pipe.pipeline()
        pipe.until(180, lambda: "trying again" in log(pipe), "the report that Pub/Sub does not answer")
        pipe.config = connector
        pipe.connector()
        pipe.generator(options.rate, options.rate * options.seconds)
        proxy.restore()
        pipe.until(180, lambda: "answers again" in log(pipe), "the report that Pub/Sub answers")
        pipe.until(180, lambda: pipe.rows.lines("rows"), "a row")
        proxy.cut()
        pipe.until(180, lambda: log(pipe).count("trying again") == 2, "the report of the outage")
        proxy.restore()
        pipe.until(180, lambda: log(pipe).count("answers again") == 2, "the end of the outage")
        pipe.config = folder / "behind.toml"
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            before = pipe.checkpoint()
            pipe.until(180, lambda: pipe.checkpoint() != before, "a checkpoint")
            stop(pipe, number, code)
            pipe.pipeline()
        before = pipe.checkpoint()
        pipe.until(180, lambda: pipe.checkpoint() != before, "a checkpoint of the last run")
        return check(pipe, options, began)
    finally:
        pipe.end()


def log(pipe):
    return (pipe.folder / "flink.log").read_text()


def stop(pipe, number, code):
    """The last line says where to continue: from a checkpoint of this run, which may have written another one since."""
    flink = pipe.processes.pop("flink")
    length = len(log(pipe))
    os.killpg(flink.pid, number)
    found = flink.wait(timeout=60)
    text = log(pipe)[length:]
    advice = f"stopped; to continue, add --savepointPath={pipe.checkpoint().parent.as_uri()}/chk-"
    if found != code or not text.splitlines()[-1].startswith(advice) or "\tat " in text:
        raise Failed(f"{number.name}: exit code {found}\n{text}\nexpected {code}\n{advice}")
    print(f"{pipe.folder.name}: {number.name} ends with {code}, and says where to continue", flush=True)


def refusals(pipe):
    """What is wrong before anything runs is one line, without a trace."""
    text = pipe.config.read_text()
    refused(pipe, text.replace("early =", "erly ="), 2, "flows[0].erly")
    refused(pipe, text.replace('topic = "', 'topik = "', 1), 2, "unknown key pubsub.topik")
    # As nothing was set up.
    refused(pipe, text, 1, f"cannot pull from projects/test-project/subscriptions/{pipe.topic}-first")
    shape = Shape(writers=WRITERS)
    sessions = shape.text(kafka="localhost:1", pubsub="localhost:1", project="test-project", topic=pipe.topic, own="first")
    refused(pipe, sessions, 2, "sessions of a stream cannot go to BigQuery", output=[])
    command = [pipe.aqueduct, "check", "--offline", "--engine", "beam", "--config", pipe.folder / "wrong.toml"]
    checked = subprocess.run(command, text=True, capture_output=True)
    if not any(line.startswith("beam ") and "flows[2].window" in line for line in checked.stdout.splitlines()):
        raise Failed(f"check does not report sessions in BigQuery: {checked}")
    print(f"{pipe.folder.name}: configurations are refused", flush=True)


def refused(pipe, text, code, reason, output=None):
    own, pipe.config = pipe.config, pipe.folder / "wrong.toml"
    pipe.config.write_text(text)
    command = [HERE / "run", f"--config={pipe.config}", "--runner=FlinkRunner", *(pipe.arguments if output is None else output)]
    command.append(f"--stateBackendStoragePath={(pipe.folder / 'refused').as_uri()}")
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, timeout=120)
    last = done.stderr.splitlines()[-1]
    is_one = done.stderr.count("error: ") == 1 and "error: " in last and "\tat " not in done.stderr
    if done.returncode != code or reason not in last or not is_one:
        raise Failed(f"expected {code} and {reason}, found {done.returncode}:\n{done.stderr}")
    pipe.config = own
