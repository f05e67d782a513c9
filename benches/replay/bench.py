"""What `aqueduct replay` costs beside the floor and beside DuckDB, on the same events, in one run.

Each program runs in turn, several times, and is charged what the operating system accounts to its processes. A time
counts only after the program's rows were found to be those of the others. Needs what `make bench-replay` builds.
"""

import argparse
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = ROOT / "target"
WORK = TARGET / "bench-replay"
VENV = TARGET / "tools" / "duckdb-2.0.1"

# Pages and boxes of the generator that give about so many keys with this many events.
SHAPES = {"1,000 keys": (25, 10), "100,000 keys": (600, 50)}

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


def run(command):
    """Wall seconds, processor seconds and megabytes of one run."""
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = child.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command[0]} ended with {child.returncode}: {message[-2000:]}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def millis(text):
    """Milliseconds of a time, however a program writes it."""
    if isinstance(text, int):
        return text
    at = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "T"))
    return int((at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def answer(path):
    """How many rows, how many keys, and a sum over the rows that does not depend on their order."""
    rows, total, keys, ends = 0, 0, set(), {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
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


def programs(events):
    """Name, command, rows."""
    config = WORK / "aqueduct.toml"
    config.write_text(CONFIG)
    binary = TARGET / "release" / "aqueduct"

    def ours(threads):
        rows = WORK / f"ours-{threads}.ndjson"
        return [binary, "replay", "--config", config, "--threads", str(threads), "--output", rows, events], rows

    floor = WORK / "floor.ndjson"
    duckdb = WORK / "duckdb.ndjson"
    return {
        "aqueduct replay, 1 thread": ours(1),
        "aqueduct replay, 2 threads": ours(2),
        "floor: serde_json, 1 thread": ([TARGET / "release" / "floor", events, floor], floor),
        "DuckDB 2.0.1, 1 thread": (
            [VENV / "bin" / "python", HERE / "duckdb_windows.py", events, duckdb],
            duckdb,
        ),
    }


def measure(title, events, runs, count):
    found = programs(events)
    figures = {name: [] for name in found}
    answers = {}
    for number in range(runs + 1):
        for name, (command, rows) in found.items():
            figure = run(command)
            if number == 0:
                # The first round warms the page cache, and is compared.
                answers[name] = answer(rows)
            else:
                figures[name].append(figure)
            rows.unlink()
    if len(set(answers.values())) != 1:
        sys.exit(f"{title}: the answers differ: {answers}")
    rows, keys, _ = next(iter(answers.values()))
    size = events.stat().st_size / count
    print(f"\n{title}: {count:,} events of {size:.0f} bytes, {keys:,} keys, {rows:,} rows, median of {runs} runs\n")
    print("| program | events/s (least to most) | CPU-seconds a million | MB |")
    print("|---|---|---|---|")
    for name, taken in figures.items():
        rates = sorted(count / wall for wall, _, _ in taken)
        cpu = statistics.median(cpu for _, cpu, _ in taken) / count * 1e6
        memory = max(memory for _, _, memory in taken)
        middle = statistics.median(rates)
        print(f"| {name} | {middle:,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f}) | {cpu:.2f} | {memory:.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    for title, (pages, boxes) in SHAPES.items():
        events = WORK / "events.ndjson"
        # Fourteen minutes of event time.
        rate = max(1, arguments.events // 840)
        command = [TARGET / "release" / "aqueduct", "generate", "--events", arguments.events, "--seed", 1]
        command += ["--pages", pages, "--boxes", boxes, "--rate", rate, "--output", events]
        subprocess.run([str(word) for word in command], check=True, stderr=subprocess.DEVNULL)
        measure(title, events, arguments.runs, arguments.events)
        events.unlink()


if __name__ == "__main__":
    main()
