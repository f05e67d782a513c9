"""The rows of `engines/beam` over a stream against those of `aqueduct replay --final` of the same records.

Kafka, the connector and Pub/Sub's emulator are real. Flink and the connector are killed in the middle of the traffic, and
Flink continues from its last checkpoint. The cases differ in their configuration and in what happens meanwhile.
"""

import argparse
import concurrent.futures
import functools
import pathlib
import shutil
import subprocess
import sys
import time
import traceback

import cases
from configurations import Shape
from faults import faults
from moved import moved
from pipe import HERE, ROOT, Failed
from pubsubio import pubsubio
from redriven import redriven
from writers import writers

CASES = {
    "kills": functools.partial(cases.killed, is_refused=True),
    "shards-and-packs": functools.partial(cases.killed, shape=Shape(more="shards = 3\npack = true")),
    "topics": cases.topics,
    "kafka-time": cases.kafka_time,
    "processing-time": cases.processing_time,
    "writers": writers,
    "redriven": redriven,
    "faults": faults,
    "upgraded": cases.upgraded,
    "moved": moved,
}
# Not a test, as it passes whatever PubsubIO counts.
COMPARISONS = {"pubsubio": pubsubio}


def run(options, name):
    """Whether a case passes. Another one goes on if it fails."""
    began = time.monotonic()
    try:
        return (CASES | COMPARISONS)[name](options, options.work / name)
    except Failed as failure:
        print(f"{name} failed after {time.monotonic() - began:.0f} s: {failure}", flush=True)
    except Exception:
        print(f"{name} failed after {time.monotonic() - began:.0f} s", traceback.format_exc(), sep="\n", flush=True)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aqueduct", type=pathlib.Path, default=ROOT / "target/debug/aqueduct")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/beam/streaming")
    parser.add_argument("--partitions", type=int, default=3)
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--kills", type=int, default=1, help="how often Flink is killed; the connector, every second time")
    parser.add_argument("--quick", action="store_true", help="one kill, and nothing else")
    parser.add_argument("--only", action="append", choices=list(CASES | COMPARISONS))
    parser.add_argument("--wait", type=int, default=60, help="how long the last windows may take")
    parser.add_argument("--jobs", type=int, default=1, help="how many cases run at the same time")
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    if options.jobs > 1:
        # Builds the program, if it has changed, before several cases start it.
        subprocess.run([HERE / "run"], stderr=subprocess.DEVNULL)
    names = ["kills"] if options.quick else options.only or list(CASES)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        passed = list(pool.map(functools.partial(run, options), names))
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
