"""What `aqueduct replay` costs beside the floor, DuckDB, Flink and Apache Beam, on the same events, in one run.

Each program runs in turn, several times, and is charged what the operating system accounts to its processes. A time
counts only after the program's rows were found to be those of the others. Needs what `make bench-replay` builds.
"""

import argparse
import hashlib
import itertools
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone

import flink
import variants

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from charged import run  # noqa: E402

TARGET = ROOT / "target"
BINARY = TARGET / "release" / "aqueduct"
WORK = TARGET / "bench-replay"
VENV = TARGET / "tools" / "duckdb-2.0.1"

PEERS = ("duckdb", "flink", "beam")
DUCKDB = "DuckDB 2.0.1, 1 thread"
JOINED = "with a join (last panes)"
# What Flink and Beam are given.
ALL, FEW = "all", "few"

# Pages and boxes of the generator that give about this many keys with this many events.
SHAPES = {"few": ("1,000 keys", 25, 10), "many": ("100,000 keys", 600, 50)}

CONFIG = """
[events]
time = "/time"

[[flows]]
name = "box_ctr"
by = { page = "/page", box = "/box" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "10m", period = "1m" }
"""


def millis(text):
    """Milliseconds of a time, however a program writes it."""
    if isinstance(text, int):
        return text
    at = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "T"))
    return int((at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def answer(path):
    """How many rows, how many keys, and a sum over the rows that does not depend on their order."""
    rows, total, keys, ends = 0, 0, set(), {}
    for line in lines(path):
        row = json.loads(line)
        end = row["window_end"]
        if end not in ends:
            ends[end] = millis(end)
        key = f"{row['page']}\0{row['box']}"
        text = f"{key}\0{ends[end]}\0{row['views']}\0{row['clicks']}"
        total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        rows += 1
        keys.add(key)
    return rows, len(keys), total % (1 << 64)


def lines(path):
    """Of a file, or of all files of a folder."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with open(file, encoding="utf-8") as open_file:
            yield from open_file


@dataclass
class Program:
    """A command, and where the rows are that it writes: in one place for each time that it counts everything."""

    command: list
    rows: list


def ours(events, threads, name="plain", text=CONFIG, options=()):
    config = WORK / f"{name}.toml"
    config.write_text(text)
    rows = WORK / f"{name}-{threads}.ndjson"
    command = [BINARY, "replay", "--config", config, "--threads", str(threads), *options, "--output", rows, events]
    return Program(command, [rows])


def programs(events, peers):
    """By name, in the order in which they run."""
    floor = WORK / "floor.ndjson"
    found = {
        "aqueduct replay, 1 thread": ours(events, 1),
        "aqueduct replay, 2 threads": ours(events, 2),
        "floor: serde_json, 1 thread": Program([TARGET / "release" / "floor", events, floor], [floor]),
    }
    if "duckdb" in peers:
        rows = WORK / "duckdb.ndjson"
        python = VENV / "bin" / "python"
        found[DUCKDB] = Program([python, HERE / "duckdb_windows.py", events, rows], [rows])
    if "flink" in peers:
        found |= flinks(events)
    if "beam" in peers:
        found |= beams(events)
    return found


def flinks(events):
    """Flink with all events, and with a few to measure its start; with one task also twice in one process, to
    measure the second run."""
    few = few_of(events)
    libs = TARGET / "tools" / f"flink-{flink.VERSION}" / "libs"
    found = {}
    for tasks, times in ((1, (1, 2)), (2, (1,))):
        inputs = {ALL: events, FEW: few}
        if tasks > 1:
            inputs = {what: flink.deal(path, WORK / f"dealt-{what}", tasks) for what, path in inputs.items()}
        for often, (what, path) in itertools.product(times, inputs.items()):
            folder = WORK / f"flink-{tasks}-{often}-{what}"
            command, rows = flink.command(folder, libs, tasks, [path] * often)
            name = f"Flink SQL {flink.VERSION}, parallelism {tasks}"
            found[name, often, what] = Program(command, rows if what == ALL else [])
    return found


def few_of(events):
    """The first events, to measure what a start takes."""
    few = WORK / "few.ndjson"
    with open(events, "rb") as source:
        few.write_bytes(b"".join(itertools.islice(source, 10)))
    return few


def beams(events):
    """`engines/beam` on a Flink in its own process, and the same flow as plain Beam would count it."""
    engine = ROOT / "engines" / "beam"
    plain = ["env", "AQUEDUCT_MAIN=aqueduct.beam.Plain", f"AQUEDUCT_CLASSES={engine / 'target' / 'test-classes'}"]
    found = {}
    for name, before in (("engines/beam", []), ("plain Beam", plain)):
        for tasks, (what, path) in itertools.product((1, 2), {ALL: events, FEW: few_of(events)}.items()):
            rows = WORK / f"beam-{what}.ndjson"
            options = ["--runner=FlinkRunner", f"--parallelism={tasks}", f"--files={path}", f"--output={rows}"]
            command = [*before, engine / "run", f"--config={WORK / 'plain.toml'}", *options]
            program = Program(command, [rows] if what == ALL else [])
            found[f"{name} on Flink 1.19, parallelism {tasks}", 1, what] = program
    return found


def others(events, generate):
    """The same by `aqueduct replay` with more to do, and what only decoding takes."""
    found = {"as it is": ours(events, 1)}
    found["with event ids"] = ours(events, 1, "ids", variants.edited(CONFIG, variants.IDS))
    found[JOINED] = ours(events, 1, "join", variants.edited(CONFIG, variants.JOIN), ["--final"])
    for kind, path in variants.compressed(BINARY, generate, WORK).items():
        found[f"from .{kind}, 1 thread"] = ours(path, 1, kind)
        found[f"from .{kind}, 2 threads"] = ours(path, 2, kind)
        found[" ".join(variants.DECODERS[kind])] = Program(variants.decoder(kind, path), [])
    return found


def measure(title, found, events, arguments):
    results = {name: [] for name in found}
    answers = {}
    for number in range(arguments.runs + 1):
        for name, program in found.items():
            for rows in program.rows:
                remove(rows)
            result = run(program.command)
            if number == 0:
                # The first round warms the page cache, and is compared.
                answers |= {(name, place): answer(rows) for place, rows in enumerate(program.rows)}
            else:
                results[name].append(result)
            for rows in program.rows:
                remove(rows)
    if len(set(answers.values())) != 1:
        sys.exit(f"{title}: the answers differ: {answers}")
    rows, keys, _ = next(iter(answers.values()))
    count = arguments.events
    size = events.stat().st_size / count
    print(f"\n{title}: {count:,} events of {size:.0f} bytes, {keys:,} keys, {rows:,} rows", end="")
    print(f", median of {arguments.runs} runs\n")
    print("| program | events/s (least to most) | CPU-seconds a million | MB |")
    print("|---|---|---|---|")
    for name, taken in shown(results).items():
        print(f"| {name} | {line(taken, count)} |", flush=True)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def shown(results):
    """The lines of the table: most programs as they ran, Flink and Beam also less what their starts cost."""
    table = {name: taken for name, taken in results.items() if isinstance(name, str)}
    for name in dict.fromkeys(name[0] for name in results if not isinstance(name, str)):
        once, start = results[name, 1, ALL], results[name, 1, FEW]
        table[name] = once
        seconds, cpu = (statistics.median(result[place] for result in start) for place in (0, 1))
        table[f"{name}, less its start of {seconds:.1f} s and {cpu:.1f} CPU-seconds"] = less(once, start)
        if (name, 2, ALL) in results:
            again, second_start = (less(results[name, 2, what], results[name, 1, what]) for what in (ALL, FEW))
            table[f"{name}, once warm: the second job of a process, less its start"] = less(again, second_start)
    return table


def less(taken, off):
    """Seconds and CPU-seconds less those of another program of the same round."""
    return [(wall - wall_off, cpu - cpu_off, memory) for (wall, cpu, memory), (wall_off, cpu_off, _) in zip(taken, off)]


def line(taken, count):
    if min(wall for wall, _, _ in taken) <= 0:
        return "too few events | | "
    rates = sorted(count / wall for wall, _, _ in taken)
    cpu = statistics.median(cpu for _, cpu, _ in taken) / count * 1e6
    memory = max(memory for _, _, memory in taken)
    middle = statistics.median(rates)
    return f"{middle:,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f}) | {cpu:.2f} | {memory:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", type=names, default=["duckdb"], help="any of duckdb,flink,beam, or none (duckdb)")
    parser.add_argument("--shapes", choices=["few", "many", "both"], default="both", help="few keys, many, or both")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    for shape, (title, pages, boxes) in SHAPES.items():
        if arguments.shapes not in (shape, "both"):
            continue
        events = WORK / "events.ndjson"
        # Fourteen minutes of event time.
        rate = max(1, arguments.events // 840)
        generate = ["generate", "--events", arguments.events, "--seed", 1]
        generate += ["--pages", pages, "--boxes", boxes, "--rate", rate]
        generate = [str(word) for word in generate]
        subprocess.run([BINARY, *generate, "--output", events], check=True, stderr=subprocess.DEVNULL)
        measure(title, programs(events, arguments.peers), events, arguments)
        if shape == "few":
            more = others(events, generate)
            run(more[JOINED].command)
            variants.check_join(more[JOINED].rows[0], events)
            measure(f"{title}, more to do", more, events, arguments)
        events.unlink()


def names(text):
    found = [] if text == "none" else text.split(",")
    if not set(found) <= set(PEERS):
        raise argparse.ArgumentTypeError(f"{text!r} is not none, and not of {','.join(PEERS)}")
    return found


if __name__ == "__main__":
    main()
