#!/usr/bin/env python3
"""Compares the processor's windows with Apache Beam's: generated cases through both, row by row.

The cases and what the processor makes of them come from the program `oracle` (this folder's crate); Beam is installed
once into a virtual environment under target/oracle. Exit code 1 when anything is not explained.
"""

import argparse
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
import environment  # noqa: E402

# Cases of one script, and bounded inputs of one pipeline.
CASES_OF_A_SCRIPT = 5
FINALS_OF_A_PIPELINE = 50
STORIES = 3

# Beam warns of what is not installed, and of late data; what fails it raises.
logging.disable(logging.WARNING)


def main() -> None:
    arguments = _arguments()
    environment.enter(__file__)
    sys.exit(_compare(arguments))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=2000, help="cases of panes (default: %(default)s)")
    parser.add_argument("--finals", type=int, default=500, help="cases of final rows (default: %(default)s)")
    parser.add_argument("--joins", type=int, default=500, help="cases of joins (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first case (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="begin no more cases after this long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    parser.add_argument("--binary", type=Path, default=environment.TARGET / "debug" / "oracle", help="the built generator")
    return parser.parse_args()


def _compare(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    scripts = -(-arguments.cases // CASES_OF_A_SCRIPT)
    work = _generated(arguments, scripts)
    totals, failures, done = Counter(), [], Counter()
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        # One at a time and process: what is not begun can be left out when the time is over.
        for name, compared in pool.imap_unordered(_work, _until(work, started, arguments.seconds)):
            done[name] += compared.cases
            totals.update(compared.counts)
            failures.extend(compared.failures)
    failures.extend(_sketches())
    # The shortest cases are the most useful.
    for failure in sorted(failures, key=len)[:STORIES]:
        print(failure, flush=True)
    _report(done, totals, time.monotonic() - started)
    skipped = scripts * CASES_OF_A_SCRIPT + arguments.finals + arguments.joins - sum(done.values())
    if skipped:
        print(f"oracle: {skipped} cases were left out after {arguments.seconds:.0f} s")
    failed = len(failures)
    print(f"oracle: {sum(done.values()) - failed} passed, {failed} failed", flush=True)
    return 1 if failed or not done else 0


def _sketches() -> list:
    import sketches

    return sketches.compare(environment.TARGET / "debug" / "aqueduct")


def _generated(arguments: argparse.Namespace, scripts: int) -> list:
    """The work in pieces: a script of panes each, and bounded inputs in batches spread between them."""
    work = [("panes", json.loads(line)) for line in _lines(arguments, "--scripts", scripts)]
    for name, count in (("finals", arguments.finals), ("joins", arguments.joins)):
        cases = [json.loads(line) for line in _lines(arguments, f"--{name}", count)]
        batches = [cases[at : at + FINALS_OF_A_PIPELINE] for at in range(0, len(cases), FINALS_OF_A_PIPELINE)]
        for number, batch in enumerate(batches):
            work.insert(len(work) * number // len(batches) + number, (name, batch))
    return work


def _lines(arguments: argparse.Namespace, what: str, count: int) -> list:
    command = [arguments.binary, "--seed", str(arguments.seed), what, str(count)]
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    except FileNotFoundError:
        sys.exit(f"oracle: {arguments.binary} is not there: cargo build -p oracle")


def _until(work: list, started: float, seconds: float | None):
    for piece in work:
        if seconds is not None and time.monotonic() - started > seconds:
            return
        yield piece


def _work(piece: tuple) -> tuple:
    import beam_finals
    import beam_joins
    import beam_panes
    import compare

    name, cases = piece
    seeds = [cases["seed"]] if name == "panes" else [case["seed"] for case in cases]
    try:
        if name == "panes":
            return name, compare.panes(cases, beam_panes.run(cases))
        if name == "joins":
            return name, compare.joins(cases, beam_joins.run(cases))
        return name, compare.finals(cases, beam_finals.run(cases))
    except Exception as error:
        raise RuntimeError(f"{name} of seeds {seeds[0]} to {seeds[-1]}: {error}") from error


def _report(done: Counter, totals: Counter, seconds: float) -> None:
    from apache_beam import __version__

    print(f"oracle: Apache Beam {__version__}: {done['panes']} cases of panes, {done['finals']} of final rows, {done['joins']} of joins")
    print(f"oracle: {seconds:.0f} s; compared and explained:")
    for name, count in sorted(totals.items()):
        print(f"  {count:>8}  {name}")


if __name__ == "__main__":
    main()
