"""Bounded inputs through a batch pipeline of Apache Beam: the final rows. Cases with the same windows share a branch,
and all branches one pipeline; the case is part of the key.
"""

from collections import defaultdict

import apache_beam as beam
import sink
from apache_beam.transforms.window import TimestampedValue
from beam_panes import assign, timestamp

COUNTS = {"view": (1, 0), "click": (0, 1), "both": (1, 1)}


def run(cases: list) -> list:
    """For each case views and clicks by window and key."""
    sink.ROWS.clear()
    branches = defaultdict(list)
    for number, case in enumerate(cases):
        settings = case["settings"]
        for _, time, key, kind in case["events"]:
            if kind in COUNTS:
                value = TimestampedValue(((number, key), COUNTS[kind]), timestamp(time))
                branches[settings["size"], settings["period"]].append(value)
    with beam.Pipeline("FnApiRunner") as pipeline:
        for (size, period), events in branches.items():
            name = f"{size}/{period}"
            (
                pipeline
                | f"{name} events" >> beam.Create(events, reshuffle=False)
                # A step takes the timestamps out of the values; Create does not.
                | f"{name} times" >> beam.Map(lambda value: value)
                | f"{name} windows" >> beam.WindowInto(assign({"size": size, "period": period}))
                | f"{name} counts" >> beam.CombinePerKey(beam.combiners.TupleCombineFn(sum, sum))
                | f"{name} rows" >> beam.ParDo(sink.Final())
            )
    rows = [{} for _ in cases]
    for (case, key), start, counts in sink.ROWS:
        rows[case][start, key] = counts
    return rows
