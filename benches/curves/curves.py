"""How the cost of an event grows with keys, windows, lateness, sizes, partitions and backlogs: a table and a picture.

The first five curves are of `aqueduct replay`, over lines that are made here, with one thread; the last two of connector
and processor (`bench-pipe`). Needs what `make bench-curves` builds and starts.

    benches/curves/curves.py                       all curves; the picture goes to docs/pictures/curves.svg
    benches/curves/curves.py --only keys,ratio     some of them; no picture
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from charged import run  # noqa: E402

TARGET = ROOT / "target"
WORK = TARGET / "bench-curves"
PICTURE = ROOT / "docs" / "pictures" / "curves.svg"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
# No file of a point is larger.
MOST_BYTES = 400_000_000
# An event without anything to fill it up has less.
LEAST_BYTES = 100

CONFIG = """
[events]
time = "/time"

[[flows]]
name = "box_ctr"
by = {{ page = "/page", box = "/box" }}
views = {{ "/type" = "view" }}
clicks = {{ "/type" = "click" }}
window = {{ size = "{size}", period = "1m" }}
out_of_orderness = "10s"
allowed_lateness = "{lateness}"
"""


@dataclass
class Shape:
    """What a replay reads."""

    events: int = 1_000_000
    keys: int = 1_000
    minutes: int = 14
    size: str = "10m"
    lateness: str = "10m"
    late: float = 0.0
    bytes: int = 266
    files: int = 1


@dataclass
class Cost:
    """Microseconds of processor time an event, events a second, megabytes, rows."""

    micros: float
    rate: float
    megabytes: float
    rows: int = 0


CURVES = {
    "keys": ("keys", [10, 100, 1_000, 10_000, 100_000, 1_000_000], lambda x: Shape(keys=x)),
    "ratio": ("window / period", [1, 2, 5, 10, 20, 30, 60], lambda x: Shape(size=f"{x}m", minutes=120)),
    "lateness": (
        "allowed lateness in minutes, 1 % of events late",
        [1, 10, 60, 180, 360],
        lambda x: Shape(lateness=f"{x}m", minutes=420, late=0.01),
    ),
    "size": (
        "bytes of an event",
        [LEAST_BYTES, 266, 1_000, 10_000, 100_000],
        lambda x: Shape(bytes=x, events=min(1_000_000, MOST_BYTES // x)),
    ),
    "files": ("files read side by side", [1, 2, 5, 10, 20, 50, 100, 200], lambda x: Shape(files=x)),
}
PIPE = {
    "partitions": ("partitions of the Kafka topic", [1, 6, 24, 100, 200], lambda x: (1_000_000, x)),
    "backlog": ("events of the backlog", [1_000_000, 2_000_000, 4_000_000], lambda x: (x, 6)),
}


def lines(shape):
    """The events of a shape as lines, in the order in which they were written."""
    dice = random.Random(1)
    boxes = min(10, shape.keys)
    step = shape.minutes * 60_000 / shape.events
    for number in range(shape.events):
        at = number * step
        if shape.late and dice.random() < shape.late:
            at = max(0, at - dice.uniform(20_000, 600_000))
        key = dice.randrange(shape.keys)
        when = (START + timedelta(milliseconds=int(at))).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        kind = "click" if dice.random() < 0.05 else "view"
        line = f'{{"type":"{kind}","time":"{when}Z","page":"/p/{key // boxes}","box":"b{key % boxes}"'
        room = shape.bytes - len(line) - len(',"text":""}\n')
        yield f'{line},"text":"{"x" * room}"}}\n' if room >= 0 else f"{line}}}\n"


def write(shape):
    """The files of a shape: line by line in turn, as a producer fills partitions."""
    paths = [WORK / f"events-{number}.ndjson" for number in range(shape.files)]
    files = [path.open("w", encoding="ascii") for path in paths]
    for number, line in enumerate(lines(shape)):
        files[number % shape.files].write(line)
    for file in files:
        file.close()
    return paths


def replay(shape, runs):
    """The cost of one point, its median over the runs."""
    paths = write(shape)
    config, rows = WORK / "aqueduct.toml", WORK / "rows.ndjson"
    config.write_text(CONFIG.format(size=shape.size, lateness=shape.lateness))
    command = [TARGET / "release" / "aqueduct", "replay", "--config", config, "--threads", "1", "--output", rows, *paths]
    costs = []
    for _ in range(runs):
        wall, cpu, megabytes = run(command)
        costs.append(Cost(cpu / shape.events * 1e6, shape.events / wall, megabytes))
    with rows.open("rb") as written:
        count = sum(1 for _ in written)
    for path in [*paths, rows]:
        path.unlink()
    return median(costs, count)


def median(costs, rows=0):
    middle = (statistics.median(getattr(cost, name) for cost in costs) for name in ("micros", "rate", "megabytes"))
    return Cost(*middle, rows)


def pipe(events, partitions, runs):
    """The costs of connector and processor at one point."""
    command = [TARGET / "release" / "bench-pipe", "--events", str(events), "--partitions", str(partitions)]
    done = subprocess.run([*command, "--runs", str(runs)], check=True, stdout=subprocess.PIPE, text=True)
    parts = {"connector": [], "processor": []}
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) == 9 and words[1] in parts:
            rate, cpu, megabytes = float(words[4]), float(words[5]), float(words[7])
            parts[words[1]].append(Cost(cpu, rate, megabytes))
    return {name: median(costs) for name, costs in parts.items()}


def measure(names, runs):
    """Of each curve its title and its lines: a name and points."""
    found = {}
    for name, (title, values, shape) in CURVES.items():
        if name in names:
            found[name] = title, {"replay": [(x, cost_of(title, x, replay(shape(x), runs))) for x in values]}
    for name, (title, values, shape) in PIPE.items():
        if name in names:
            drawn = {"connector": [], "processor": []}
            for x in values:
                for part, cost in pipe(*shape(x), runs).items():
                    drawn[part].append((x, cost_of(f"{title}, {part}", x, cost)))
            found[name] = title, drawn
    return found


def cost_of(title, x, cost):
    rows = f", {cost.rows:,} rows" if cost.rows else ""
    print(f"{title} {x:,}: {cost.micros:.2f} us, {cost.megabytes:.0f} MB{rows}", file=sys.stderr, flush=True)
    return cost


def table(found):
    for title, drawn in found.values():
        for part, points in drawn.items():
            print(f"\n{part}: {title}\n")
            print("| " + " | ".join(["", *(f"{x:,}" for x, _ in points)]) + " |")
            print("|---" * (len(points) + 1) + "|")
            print("| " + " | ".join(["CPU us an event", *(f"{c.micros:.2f}" for _, c in points)]) + " |")
            print("| " + " | ".join(["events/s", *(f"{c.rate:,.0f}" for _, c in points)]) + " |")
            print("| " + " | ".join(["MB", *(f"{c.megabytes:.0f}" for _, c in points)]) + " |")
            if any(cost.rows for _, cost in points):
                print("| " + " | ".join(["rows", *(f"{c.rows:,}" for _, c in points)]) + " |")


def shortened(number):
    """1 000 is 1k, so that the numbers below an axis have room beside each other."""
    for size, sign in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:g}{sign}"
    return f"{number:g}"


def draw(found):
    """Time and memory an event, a panel for each curve."""
    import matplotlib

    matplotlib.use("svg")
    # The same results give the same bytes.
    matplotlib.rcParams.update({"svg.hashsalt": "aqueduct", "font.size": 8, "axes.spines.top": False})
    from matplotlib import pyplot, ticker

    figure, panels = pyplot.subplots(2, 4, figsize=(12, 5.2), constrained_layout=True)
    colours = {"replay": "#1f6f8b", "connector": "#b5541c", "processor": "#4b7f2c"}
    for panel, (title, drawn) in zip(panels.flat, found.values()):
        memory = panel.twinx()
        for part, points in drawn.items():
            xs = [x for x, _ in points]
            panel.plot(xs, [c.micros for _, c in points], "o-", color=colours[part], label=part, markersize=3)
            memory.plot(xs, [c.megabytes for _, c in points], ":", color=colours[part], linewidth=1)
        panel.set(xscale="log", xlabel=title, ylabel="CPU us an event")
        panel.set_xticks(xs, [shortened(x) for x in xs])
        panel.xaxis.set_minor_locator(ticker.NullLocator())
        panel.set_ylim(bottom=0)
        memory.set_ylabel("MB (dotted)")
        memory.set_ylim(bottom=0)
        panel.legend(frameon=False)
    for panel in panels.flat[len(found) :]:
        panel.set_visible(False)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})
    print(f"\n{PICTURE.relative_to(ROOT)}", file=sys.stderr)


def main():
    every = [*CURVES, *PIPE]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(every), help="some of " + ", ".join(every))
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - set(every):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    WORK.mkdir(parents=True, exist_ok=True)
    found = measure(names, arguments.runs)
    table(found)
    (WORK / "results.json").write_text(json.dumps(found, default=vars, indent=1))
    if len(found) == len(every):
        draw(found)


if __name__ == "__main__":
    main()
