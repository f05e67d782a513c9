"""The rows of `engines/beam` over a stream against those of `aqueduct replay --final` of the same records.

Kafka, the connector and Pub/Sub's emulator are real. Flink and the connector are killed in the middle of the traffic, and
Flink continues from its last checkpoint. Events have no IDs, so that only their positions distinguish copies from originals. Then
the processor gives way to Beam and Beam to the processor, each killed while the other counts.
"""

import argparse
import collections
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CONFIG = """[kafka]
bootstrap_servers = "{kafka}"
topics = ["{topic}"]
group_id = "{topic}"
[kafka.properties]
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 500
[pubsub]
project = "test-project"
topic = "{topic}"
subscription = "{topic}-{own}"
emulator_host = "{pubsub}"
{more}
[anonymise]
pseudonymise = ["/user_id"]
forward = "all"
keyring = "keys.toml"
[service]
listen = "127.0.0.1:0"
[state]
checkpoints = "file://{own}-state"
idle_after = "3s"
cold_start = "20s"
hole_limit = "{holes}"
[writer]
kind = "sqlite"
path = "{own}.db"
[events]
time = "/time"
[[flows]]
name = "page_ctr"
by = {{ page = "/page" }}
views = {{ "/type" = "view" }}
clicks = {{ "/type" = "click" }}
window = {{ size = "10s", period = "5s" }}
out_of_orderness = "2s"
allowed_lateness = "20m"
early = "3s"
[[flows]]
name = "joined"
by = {{ page = "/page", box = "/box" }}
views = {{ "/type" = "view" }}
clicks = {{ "/type" = "click" }}
window = {{ size = "20s" }}
out_of_orderness = "3s"
allowed_lateness = "20m"
join = {{ on = "/view_id", within = "10s" }}
measures.users = {{ distinct = "/user_id" }}
[[flows]]
name = "visits"
by = {{ user = "/user_id" }}
window = {{ session = "5s" }}
out_of_orderness = "2s"
allowed_lateness = "20m"
measures.events = {{ count = {{}} }}
measures.pages = {{ distinct = "/page" }}
"""
FLINK = ["--runner=FlinkRunner", "--parallelism=2", "--checkpointingInterval=2000"]
FLOWS = ["page_ctr", "joined", "visits"]
# The number of columns of their keys.
KEYS = {"page_ctr": 1, "joined": 2, "visits": 1}
# The columns that differ in a stream: which pane is the last, and when it fired.
PANE = ',"pane":'


class Pipe:
    """A connector and a Beam pipeline, which can be killed and started again."""

    def __init__(self, options, folder, more="", holes="10m"):
        self.aqueduct, self.folder = options.aqueduct, folder
        folder.mkdir(parents=True)
        self.topic = f"beam-{uuid.uuid4().hex[:8]}"
        self.output, self.state = folder / "output", folder / "state"
        self.log = (folder / "log").open("a")
        self.processes = {}
        self.more, self.holes = more, holes
        self.configure("first")
        self.run("keys", "new")
        self.create_topic(options.partitions)
        self.run("setup")

    def configure(self, own):
        """Has the subscription, state and rows of an engine of its own from now on."""
        values = {"kafka": os.environ["KAFKA_BOOTSTRAP"], "pubsub": os.environ["PUBSUB_EMULATOR_HOST"]}
        self.config = self.folder / f"{own}.toml"
        self.config.write_text(CONFIG.format(topic=self.topic, more=self.more, holes=self.holes, own=own, **values))

    def create_topic(self, partitions):
        libs = ROOT / "target/services/kafka/libs/*"
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", libs, "org.apache.kafka.tools.TopicCommand", "--create"]
        command += ["--bootstrap-server", os.environ["KAFKA_BOOTSTRAP"], "--topic", self.topic, "--partitions", partitions]
        subprocess.run([str(part) for part in command], check=True, stdout=self.log, stderr=self.log)

    def command(self, name, *arguments):
        return [str(part) for part in (self.aqueduct, name, "--config", self.config, *arguments)]

    def run(self, name, *arguments):
        subprocess.run(self.command(name, *arguments), check=True, stdout=self.log, stderr=self.log, timeout=300)

    def spawn(self, name, command):
        log = (self.folder / f"{name}.log").open("a")
        # Optimising the code takes longer than running it on so few events.
        environment = dict(os.environ, AQUEDUCT_JAVA_OPTIONS="-XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.log.aqueduct=info")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)

    def connector(self):
        self.spawn("connector", self.command("connector"))

    def processor(self):
        self.spawn("processor", self.command("processor"))

    def generator(self, rate, seconds, more=("--late", "2%", "--duplicates", "1%")):
        more = [*more, "--broken", "1%", "--users", "500", "--pages", "20"]
        self.spawn("generator", self.command("generate", "--rate", rate, "--events", rate * seconds, *more))

    def pipeline(self, *arguments, is_new=False):
        """Starts Flink, from the last checkpoint if there is one and it is wanted."""
        command = [HERE / "run", f"--config={self.config}", f"--output={self.output}", *FLINK]
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

    def kill(self, name):
        process = self.processes.pop(name, None)
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def alive(self):
        for name in self.processes.keys() - {"generator"}:
            if self.processes[name].poll() is not None:
                raise SystemExit(f"{name} ended with {self.processes[name].returncode}; see {self.folder / name}.log")

    def end(self):
        for name in list(self.processes):
            self.kill(name)

    def until(self, seconds, done, what):
        limit = time.monotonic() + seconds
        while not done():
            if time.monotonic() > limit:
                raise SystemExit(f"{what} did not happen within {seconds} s; see the logs in {self.folder}")
            self.alive()
            time.sleep(0.2)


def panes(folder):
    """All panes, and the number of lines that repeat one; two different panes with one index are an error."""
    seen, copies = {}, 0
    for file in folder.glob("*.ndjson"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            start = line[: line.index(',"window_start":')]
            identity = (start, row["window_start"], row["window_end"], row["pane_index"])
            if identity in seen:
                copies += 1
                if seen[identity][1] != line:
                    raise SystemExit(f"two panes have one index:\n{line}\n{seen[identity][1]}")
            seen[identity] = (row, line)
    return [(identity[0], *value) for identity, value in seen.items()], copies


def finals(all_panes):
    """The last pane of each window and key. A session is replaced by a later pane that overlaps it."""
    last = collections.defaultdict(list)
    ordered = sorted(all_panes, key=lambda pane: (pane[1]["pane_index"], pane[1]["emitted_at"]))
    for key, row, line in ordered:
        start, end = row["window_start"], row["window_end"]
        if row["flow"] not in FLOWS:
            continue
        if row["flow"] == "visits":
            last[key] = [old for old in last[key] if not (old[0] < end and start < old[1])] + [(start, end, line)]
        else:
            last[key, start, end] = [(start, end, line)]
    lines = [line for kept in last.values() for _, _, line in kept]
    return collections.Counter(line[: line.rindex(PANE)] for line in lines if not is_taken_back(json.loads(line)))


def is_taken_back(row):
    """Whether nothing is left of a row, because a click belongs to another view: no final row has this key."""
    return row["flow"] == "joined" and not any(row[name] for name in ("views", "clicks", "attributed_clicks", "users"))


def difference(pipe):
    expected = pipe.folder / "replay.ndjson"
    if not expected.exists():
        pipe.run("replay", "--kafka", "--final", "--output", expected)
    lines = [line for line in expected.read_text().splitlines() if json.loads(line)["flow"] in FLOWS]
    ours = collections.Counter(line[: line.rindex(PANE)] for line in lines)
    all_panes, copies = panes(pipe.output / "rows")
    theirs = finals(all_panes)
    wrong = [f"  only replay: {row}" for row in sorted((ours - theirs).elements())]
    wrong += [f"  only Beam:   {row}" for row in sorted((theirs - ours).elements())]
    return ours.total(), wrong, len(all_panes), copies


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
        print(f"killed {number + 1}; continues from {checkpoint.name}", flush=True)
        pipe.until(180, lambda: pipe.checkpoint() != checkpoint, "a checkpoint of the new run")


def refused(pipe):
    """A pipeline that is started without the state of the one before stops, and has acknowledged nothing."""
    # With a row the watermark is known, and messages are acknowledged.
    pipe.until(180, lambda: any((pipe.output / "rows").glob("*.ndjson")), "a row")
    before = pipe.checkpoints()
    pipe.until(180, lambda: pipe.checkpoints() >= before + 2, "two checkpoints")
    pipe.kill("flink")
    checkpoint = pipe.checkpoint()
    pipe.pipeline(is_new=True)
    flink = pipe.processes["flink"]
    try:
        code = flink.wait(timeout=120)
    except subprocess.TimeoutExpired:
        raise SystemExit("a pipeline without a state was not refused") from None
    log = (pipe.folder / "flink.log").read_text()
    if code != 1 or "was read before" not in log.splitlines()[-1]:
        raise SystemExit(f"expected a refusal, found exit code {code}; see {pipe.folder / 'flink.log'}")
    # The pipeline that was refused has written checkpoints, too.
    for folder in pipe.state.iterdir():
        if folder != checkpoint.parent:
            shutil.rmtree(folder)
    print("refused without its state", flush=True)
    pipe.pipeline()


def balance(pipe, records):
    """The newest row of progress of each flow accounts for every record, and each rejected one has a dead letter."""
    newest = {}
    for file in (pipe.output / "progress").glob("*.ndjson"):
        for row in map(json.loads, file.read_text().splitlines()):
            if row["at"] > newest.get(row["flow"], {"at": ""})["at"]:
                newest[row["flow"]] = row
    letters = set()
    for file in (pipe.output / "dead_letters").glob("*.ndjson"):
        for row in map(json.loads, file.read_text().splitlines()):
            letters.add((row["partition"], row["offset"]))
    wrong = []
    for flow, row in sorted(newest.items()):
        if flow not in FLOWS:
            continue
        total = sum(number for column, number in row.items() if isinstance(number, int))
        if total != records:
            wrong.append(f"  {row}: {total} of {records} records")
    # What one flow rejects, another may ignore.
    if max((row["rejected"] for row in newest.values()), default=0) != len(letters):
        wrong.append(f"  {len(letters)} dead letters")
    return wrong if newest.keys() >= set(FLOWS) else ["  not every flow has a row of progress"]


def check(pipe, options, name, began):
    pipe.until(120, lambda: pipe.processes["generator"].poll() is not None, "the end of the traffic")
    limit = time.monotonic() + options.wait
    rows, wrong, fired, copies = difference(pipe)
    while wrong and time.monotonic() < limit:
        pipe.alive()
        time.sleep(1)
        rows, wrong, fired, copies = difference(pipe)
    print(f"{name}: {rows} rows of {fired} panes ({copies} written again), {len(wrong)} differ, {time.monotonic() - began:.0f} s",
          *wrong[:10], sep="\n", flush=True)
    unbalanced = [] if options.quick else balance(pipe, options.rate * options.seconds)
    # A row of progress is written once a minute.
    limit = time.monotonic() + 75
    while unbalanced and time.monotonic() < limit:
        pipe.alive()
        time.sleep(1)
        unbalanced = balance(pipe, options.rate * options.seconds)
    print(*unbalanced, sep="\n", end="\n" if unbalanced else "", flush=True)
    return not wrong and not unbalanced and rows > 0


def killed(options, folder, more="", is_refused=False):
    began = time.monotonic()
    pipe = Pipe(options, folder, more)
    try:
        pipe.pipeline()
        pipe.connector()
        pipe.until(180, pipe.checkpoint, "the first checkpoint")
        pipe.generator(options.rate, options.seconds)
        kills(pipe, options)
        if is_refused:
            refused(pipe)
        return check(pipe, options, f"{folder.name}: Flink killed {options.kills} times", began)
    finally:
        pipe.end()


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
        raise SystemExit(f"savepoint {trigger} of job {job} is not there; see {pipe.folder}")
    return folders[0]


def upgraded(options, folder):
    """Another configuration continues from a savepoint: other panes and lateness, and one more flow."""
    began = time.monotonic()
    pipe = Pipe(options, folder)
    port = free_port()
    (folder / "conf").mkdir()
    (folder / "conf" / "flink-conf.yaml").write_text(f"rest.bind-address: 127.0.0.1\nrest.bind-port: {port}\n")
    conf = f"--flinkConfDir={folder / 'conf'}"
    try:
        pipe.pipeline(conf)
        pipe.connector()
        pipe.until(180, pipe.checkpoint, "the first checkpoint")
        pipe.generator(options.rate, options.seconds)
        pipe.until(180, lambda: any((pipe.output / "rows").glob("*.ndjson")), "a row")
        path = savepoint(pipe, port)
        text = pipe.config.read_text().replace('early = "3s"', 'early = "1s"')
        more = '[[flows]]\nname = "more"\nby = { box = "/box" }\nwindow = { size = "5s" }\nallowed_lateness = "20m"\n'
        pipe.config.write_text(text + more + "measures.events = { count = {} }\n")
        pipe.pipeline(conf, f"--savepointPath={path.as_uri()}", is_new=True)
        print(f"continues from {path.name}", flush=True)
        return check(pipe, options, "upgraded", began)
    finally:
        pipe.end()


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def stamp(time):
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def database_rows(path):
    """The newest rows of all flows in an SQLite file, as tuples of their columns up to the pane."""
    rows = set()
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        for flow in FLOWS:
            cursor = database.execute(f"SELECT * FROM {flow}_latest")
            names = [column[0] for column in cursor.description]
            kept = [name for name in names[: names.index("pane")]]
            for row in cursor:
                rows.add((flow, *(str(value) for name, value in zip(names, row) if name in kept)))
    return rows


def moved(options, folder):
    """The processor, then Beam, then the processor again, each with its own subscription. What is whole is equal."""
    began = time.monotonic()
    # Of what is published while a subscription is created, the emulator may deliver a part: the rest counts as lost.
    pipe = Pipe(options, folder, holes="1m")
    try:
        pipe.connector()
        # What arrives after an engine has ended would be missing in its windows.
        pipe.generator(options.rate, 120, more=())
        pipe.processor()
        pipe.configure("second")
        pipe.run("setup")
        first = now()
        pipe.pipeline("--startWithoutState=true")
        has_rows = lambda: any((pipe.output / "rows").glob("*.ndjson"))
        pipe.until(180, has_rows, "a row of Beam")
        pipe.kill("processor")
        pipe.kill("flink")
        pipe.pipeline()
        before = pipe.checkpoint()
        pipe.until(180, lambda: pipe.checkpoint() != before, "a checkpoint of the new run")
        pipe.configure("third")
        pipe.run("setup")
        second = now()
        pipe.processor()
        time.sleep(20)
        pipe.kill("flink")
        killed_at = now()
        pipe.kill("processor")
        pipe.processor()
        pipe.until(200, lambda: pipe.processes["generator"].poll() is not None, "the end of the traffic")
        pipe.run("replay", "--kafka", "--final", "--output", pipe.folder / "replay.ndjson")
        pipe.run("replay", "--kafka", "--final", "--output", pipe.folder / "replay.db")
        # The emulator keeps delivering to the streams of killed processors, and delivers again after each lease.
        limit = time.monotonic() + 200
        while not compare_moved(pipe, (first, second, killed_at), began):
            if time.monotonic() > limit:
                return False
            pipe.alive()
            time.sleep(5)
        return True
    finally:
        pipe.end()


def compare_moved(pipe, times, began):
    """Beam has the windows from the first time on that ended 20 s before it was killed; the processor, those after."""
    first, second, killed_at = times
    # A view may be `within` older than the window of its click, and a session began at most its gap before.
    first, second = (stamp(time + datetime.timedelta(seconds=10)) for time in (first, second))
    end = stamp(killed_at - datetime.timedelta(seconds=20))

    def between(lines):
        rows = (json.loads(line + "}") for line in lines)
        return {json.dumps(row) for row in rows if first <= row["window_start"] and row["window_end"] <= end}

    expected = between(line[: line.rindex(PANE)] for line in (pipe.folder / "replay.ndjson").read_text().splitlines())
    found = between(finals(panes(pipe.output / "rows")[0]).elements())
    wrong = len(expected ^ found)
    # In these tables the columns behind the key begin with the window.
    behind = {row for row in database_rows(pipe.folder / "replay.db") if window_start(row) >= second}
    taken = {row for row in database_rows(pipe.folder / "third.db") if window_start(row) >= second}
    late = len(behind ^ taken)
    print(f"moved: {len(expected)} rows of Beam, {wrong} differ; {len(behind)} rows of the processor after it, {late} differ, "
          f"{time.monotonic() - began:.0f} s", flush=True)
    return wrong == 0 and late == 0 and len(expected) > 100 and len(behind) > 100


def window_start(row):
    return row[1 + KEYS[row[0]]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aqueduct", type=pathlib.Path, default=ROOT / "target/debug/aqueduct")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/beam/streaming")
    parser.add_argument("--partitions", type=int, default=3)
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--kills", type=int, default=1, help="how often Flink is killed; the connector, every second time")
    parser.add_argument("--quick", action="store_true", help="one kill, and nothing else")
    parser.add_argument("--only", action="append", choices=["kills", "shards-and-packs", "upgraded", "moved"])
    parser.add_argument("--wait", type=int, default=60, help="how long the last windows may take")
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    cases = {
        "kills": lambda folder: killed(options, folder, is_refused=not options.quick),
        "shards-and-packs": lambda folder: killed(options, folder, "shards = 3\npack = true"),
        "upgraded": lambda folder: upgraded(options, folder),
        "moved": lambda folder: moved(options, folder),
    }
    names = ["kills"] if options.quick else options.only or list(cases)
    passed = [cases[name](options.work / name) for name in names]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
