"""Bounded inputs through a batch pipeline of Apache Beam: the final rows. Cases with the same windows share a branch,
and all branches one pipeline; the case is part of the key.
"""

from collections import defaultdict

import apache_beam as beam
import sink
from apache_beam.transforms.window import TimestampedValue
from beam_panes import assign, timestamp


def values_of(kind: str, price: int, user: int) -> tuple:
    """Views, clicks, the smallest and the largest price of views, the revenue of clicks, users."""
    is_view, is_click = kind in ("view", "both"), kind in ("click", "both")
    seen = price if is_view else None
    return int(is_view), int(is_click), seen, seen, price * is_click, frozenset([user])


def least(prices) -> int | None:
    return min((price for price in prices if price is not None), default=None)


def most(prices) -> int | None:
    return max((price for price in prices if price is not None), default=None)


def union(sets) -> frozenset:
    return frozenset().union(*sets)


MERGES = (sum, sum, least, most, sum, union)


def shown(values: tuple) -> tuple:
    """As a row has them: of users how many there are."""
    return (*values[:-1], len(values[-1]))


def run(cases: list) -> list:
    """For each case the values by window and key."""
    sink.ROWS.clear()
    branches = defaultdict(list)
    for number, case in enumerate(cases):
        settings = case["settings"]
        shape = settings["size"], settings["period"], settings["is_session"]
        for _, time, key, kind, price, user in case["events"]:
            if kind != "other":
                value = TimestampedValue(((number, key), values_of(kind, price, user)), timestamp(time))
                branches[shape].append(value)
    with beam.Pipeline("FnApiRunner") as pipeline:
        for (size, period, is_session), events in branches.items():
            name = f"{size}/{period}/{is_session}"
            settings = {"size": size, "period": period, "is_session": is_session}
            (
                pipeline
                | f"{name} events" >> beam.Create(events, reshuffle=False)
                # A step takes the timestamps out of the values; Create does not.
                | f"{name} times" >> beam.Map(lambda value: value)
                | f"{name} windows" >> beam.WindowInto(assign(settings))
                | f"{name} counts" >> beam.CombinePerKey(beam.combiners.TupleCombineFn(*MERGES))
                | f"{name} rows" >> beam.ParDo(sink.Final())
            )
    rows = [{} for _ in cases]
    for (case, key), span, values in sink.ROWS:
        rows[case][*span, key] = shown(values)
    return rows
