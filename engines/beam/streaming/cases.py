"""One function for each case: whether rows and outcomes are right."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request

from compare import check, outcomes_at_other_times, replay, sums
from configurations import CLICKS, FLOWS, TWO_TOPICS_EVENTS, TWO_TOPICS_FLOWS, Shape, with_time
from pipe import Failed, Pipe
from reconciled import reconciled

# The last hour of two days in Warsaw, of which the second has 25 hours and ends a week.
MIDNIGHTS = ("2026-10-24T21:50:00Z", "2026-10-25T22:50:00Z")


def kills(pipe, options):
    """Kills both in the middle of the traffic, several times."""
    for number in range(options.kills):
        before = pipe.checkpoints()
        # A part of what was counted is in a checkpoint, and a part is not.
        pipe.until(180, lambda: pipe.checkpoints() >= before + 2, "two checkpoints")
        time.sleep(0.7)
        pipe.kill("flink")
        if number % 2 == 0:
            pipe.kill("connector")
            pipe.connector()
        checkpoint = pipe.pipeline()
        print(f"{pipe.folder.name}: killed {number + 1}; continues from {checkpoint.name}", flush=True)
        pipe.until(180, lambda: pipe.checkpoint() != checkpoint, "a checkpoint of the new run")


def refused(pipe):
    """A pipeline that is started without the state of the one before stops, and has acknowledged and written nothing."""
    # With a row the watermark is known, and messages are acknowledged.
    pipe.until(180, lambda: pipe.rows.lines("rows"), "a row")
    before = pipe.checkpoints()
    pipe.until(180, lambda: pipe.checkpoints() >= before + 2, "two checkpoints")
    pipe.kill("flink")
    checkpoint, written = pipe.checkpoint(), len(pipe.rows.lines("rows"))
    pipe.pipeline(is_new=True)
    flink = pipe.processes["flink"]
    try:
        code = flink.wait(timeout=120)
    except subprocess.TimeoutExpired:
        raise Failed("a pipeline without a state was not refused") from None
    log = (pipe.folder / "flink.log").read_text()
    if code != 1 or "was read before" not in log.splitlines()[-1]:
        raise Failed(f"expected a refusal, found exit code {code}; see {pipe.folder / 'flink.log'}")
    if len(pipe.rows.lines("rows")) != written:
        raise Failed("the pipeline that was refused has written rows")
    # The pipeline that was refused has written checkpoints, too.
    for folder in pipe.state.iterdir():
        if folder != checkpoint.parent:
            shutil.rmtree(folder)
    print(f"{pipe.folder.name}: refused without its state", flush=True)
    pipe.pipeline()


@contextlib.contextmanager
def started(options, folder, shape):
    """Everything runs, and traffic may begin."""
    pipe = Pipe(options, folder, shape)
    try:
        pipe.run("setup")
        pipe.pipeline()
        pipe.connector()
        pipe.until(180, pipe.checkpoint, "the first checkpoint")
        yield pipe
    finally:
        pipe.end()


def killed(options, folder, shape=None, is_refused=False):
    began = time.monotonic()
    with started(options, folder, shape) as pipe:
        pipe.generator(options.rate, options.rate * options.seconds)
        kills(pipe, options)
        if is_refused and not options.quick:
            refused(pipe)
        return check(pipe, options, began) and reconciled(pipe)


def topics(options, folder):
    """Two topics with the same events, views from one and clicks from the other; copies with the same ID; and calendar windows
    in a zone with two midnights that are 25 hours apart. The IDs come back after a day, when they are no copies."""
    began = time.monotonic()
    shape = Shape(events=TWO_TOPICS_EVENTS, flows=TWO_TOPICS_FLOWS, topics=("", CLICKS))
    with started(options, folder, shape) as pipe:
        # The same seed, so that a click in one topic has its view in the other.
        seed = ("--seed", time.time_ns() >> 10 & 0xFFFFFFFF)
        for midnight in MIDNIGHTS:
            for end in shape.topics:
                pipe.generator(1, 1200, *seed, "--start", midnight, end=end)
            pipe.until(60, pipe.has_ended, "the events around a midnight")
        for end in shape.topics:
            pipe.generator(options.rate // 2, options.rate // 2 * options.seconds, *seed, end=end)
        kills(pipe, options)
        is_right = check(pipe, options, began)
        _, ledgers = replay(pipe)
        days = {line.split('"window_start":"')[1][:16] for line in replay(pipe)[0] if line.startswith('{"flow":"days"')}
        # Otherwise the case would show nothing.
        if not ledgers["days"].get("duplicate") or not days >= {"2026-10-24T22:00", "2026-10-25T23:00"}:
            raise Failed(f"no copies, or no day of 25 hours: {ledgers} {sorted(days)}")
        return is_right


def kafka_time(options, folder):
    return killed(options, folder, Shape(flows=with_time(FLOWS, "kafka")))


def processing_time(options, folder):
    """Windows depend on when a record is published, so only sums over all windows can be compared: with those of Kafka's time,
    in which each event has a window, too."""
    began = time.monotonic()
    with started(options, folder, Shape(flows=with_time(FLOWS, "processing"))) as pipe:
        pipe.generator(options.rate, options.rate * options.seconds)
        kills(pipe, options)
        pipe.until(120, pipe.has_ended, "the end of the traffic")
        config, pipe.config = pipe.config, pipe.folder / "kafka.toml"
        pipe.config.write_text(config.read_text().replace('time = "processing"', 'time = "kafka"'))
        return check(pipe, options, began, sums, outcomes_at_other_times)


def request(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=30) as answer:
        return json.loads(answer.read())


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def savepoint(pipe, port):
    """Stops the job with a savepoint, as an operator does; returns its folder."""
    flink = f"http://127.0.0.1:{port}/jobs"
    job = request(flink)["jobs"][0]["id"]
    body = {"target-directory": (pipe.folder / "savepoints").as_uri(), "cancel-job": True}
    trigger = request(f"{flink}/{job}/savepoints", body)["request-id"]
    pipe.processes.pop("flink").wait(timeout=120)
    folders = list((pipe.folder / "savepoints").glob("savepoint-*"))
    if len(folders) != 1:
        raise Failed(f"savepoint {trigger} of job {job} is not there; see {pipe.folder}")
    return folders[0]


def upgraded(options, folder):
    """Another configuration continues from a savepoint: other panes and lateness, and one more flow."""
    began = time.monotonic()
    pipe = Pipe(options, folder)
    port = free_port()
    (folder / "conf").mkdir()
    (folder / "conf" / "flink-conf.yaml").write_text(f"rest.bind-address: 127.0.0.1\nrest.bind-port: {port}\n")
    pipe.arguments.append(f"--flinkConfDir={folder / 'conf'}")
    try:
        pipe.run("setup")
        pipe.pipeline()
        pipe.connector()
        pipe.until(180, pipe.checkpoint, "the first checkpoint")
        pipe.generator(options.rate, options.rate * options.seconds)
        pipe.until(180, lambda: pipe.rows.lines("rows"), "a row")
        path = savepoint(pipe, port)
        text = pipe.config.read_text().replace('early = "3s"', 'early = "1s"')
        more = '[[flows]]\nname = "more"\nby = { box = "/box" }\nwindow = { size = "5s" }\nallowed_lateness = "20m"\n'
        pipe.config.write_text(text + more + "measures.events = { count = {} }\n")
        pipe.pipeline(f"--savepointPath={path.as_uri()}", is_new=True)
        print(f"{folder.name}: continues from {path.name}", flush=True)
        return check(pipe, options, began)
    finally:
        pipe.end()
