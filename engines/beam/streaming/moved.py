"""The processor gives way to Beam and Beam to the processor, each killed while the other counts."""

import contextlib
import datetime
import json
import sqlite3
import time

from compare import PANE, finals, panes
from configurations import Shape
from pipe import Pipe


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def stamp(time):
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def database_rows(flows, path):
    """The newest rows of all flows in an SQLite file: when their window begins, and their columns up to the pane."""
    rows = set()
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        for flow in flows:
            cursor = database.execute(f"SELECT * FROM {flow}_latest")
            names = [column[0] for column in cursor.description]
            for row in map(list, cursor):
                values = row[: names.index("pane")]
                rows.add((row[names.index("window_start")], flow, *map(str, values)))
    return rows


def moved(options, folder):
    """The processor, then Beam, then the processor again, each with its own subscription. What is whole is equal."""
    began = time.monotonic()
    # Of what is published while a subscription is created, the emulator may deliver a part: the rest counts as lost.
    pipe = Pipe(options, folder, Shape(holes="1m"))
    try:
        pipe.run("setup")
        pipe.connector()
        # What arrives after an engine has ended would be missing in its windows.
        pipe.generator(options.rate, options.rate * 120, shares=())
        pipe.processor()
        pipe.configure("second")
        pipe.run("setup")
        first = now()
        pipe.pipeline("--startWithoutState=true")
        pipe.until(180, lambda: pipe.rows.lines("rows"), "a row of Beam")
        pipe.kill("processor")
        pipe.kill("flink")
        pipe.pipeline()
        before = pipe.checkpoint()
        pipe.until(180, lambda: pipe.checkpoint() != before, "a checkpoint of the new run")
        pipe.configure("third")
        pipe.run("setup")
        second = now()
        pipe.processor()
        pipe.until(180, lambda: complete_to(pipe) >= stamp(second), "the windows before the processor's")
        pipe.kill("flink")
        end = complete_to(pipe)
        pipe.kill("processor")
        pipe.processor()
        pipe.until(200, pipe.has_ended, "the end of the traffic")
        pipe.run("replay", "--kafka", "--final", "--output", pipe.folder / "replay.ndjson")
        pipe.run("replay", "--kafka", "--final", "--output", pipe.folder / "replay.db")
        # The emulator keeps delivering to the streams of killed processors, and delivers again after each lease.
        limit = time.monotonic() + 200
        while not compare_moved(pipe, (first, second, end), began):
            if time.monotonic() > limit:
                return False
            pipe.alive()
            time.sleep(5)
        return True
    finally:
        pipe.end()


def complete_to(pipe):
    """The end of the windows of which all rows are written: flows fire some seconds apart, and rows wait for a checkpoint."""
    ends = [row["window_end"] for row in map(json.loads, pipe.rows.lines("rows")) if row["pane"] == "ON_TIME"]
    newest = datetime.datetime.fromisoformat(max(ends, default="1970-01-01T00:01:00Z"))
    return stamp(newest - datetime.timedelta(seconds=20))


def compare_moved(pipe, times, began):
    """Beam has the windows from the first time to the end; the processor, those from the second on."""
    first, second, end = times
    # A view may be `within` older than the window of its click, and a session began at most its gap before.
    first, second = (stamp(time + datetime.timedelta(seconds=10)) for time in (first, second))

    def between(lines):
        rows = (json.loads(line + "}") for line in lines)
        return {json.dumps(row) for row in rows if first <= row["window_start"] and row["window_end"] <= end}

    expected = between(line[: line.rindex(PANE)] for line in (pipe.folder / "replay.ndjson").read_text().splitlines())
    found = between(finals(pipe.flows, panes(pipe.rows.lines("rows"))[0]).elements())
    wrong = len(expected ^ found)
    behind = {row for row in database_rows(pipe.flows, pipe.folder / "replay.db") if row[0] >= second}
    taken = {row for row in database_rows(pipe.flows, pipe.folder / "third.db") if row[0] >= second}
    late = len(behind ^ taken)
    print(f"moved: {len(expected)} rows of Beam, {wrong} differ; {len(behind)} rows of the processor after it, {late} differ, "
          f"{time.monotonic() - began:.0f} s", flush=True)
    return wrong == 0 and late == 0 and len(expected) > 100 and len(behind) > 100
