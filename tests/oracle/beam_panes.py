"""A script through Apache Beam's TestStream, as this project's windows are meant: accumulating panes, early ones by
processing time, late ones for every bundle that brings something late.

All cases of a script run in one pipeline; the case is part of the key.
"""

from collections import defaultdict

import apache_beam as beam
import sink
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.direct import clock
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms import trigger, window
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp
from apache_beam.utils.windowed_value import PaneInfoTiming

NAMES = {PaneInfoTiming.EARLY: "EARLY", PaneInfoTiming.ON_TIME: "ON_TIME", PaneInfoTiming.LATE: "LATE"}
# Python's Beam compares the time at which a processing-time timer fires with the end of its window, as if both were
# event time: a clock that is not behind all windows fires an early pane as ON_TIME. So the clock starts far behind.
LONG_AGO_SECONDS = -9_000_000_000
# An early pane fires when the clock is moved on, and that is done where one is due.
EARLY_SECONDS = 1


def run(script: dict) -> list:
    """For each case the panes by window and key: lists of (step, pane, index, numbers of the events). None for a case of
    sessions that is not given to Beam, or at which it stalls."""
    if not script["settings"]["is_session"]:
        return _run(script)
    return [_run_session(dict(script, cases=[case])) for case in script["cases"]]


def _run_session(script: dict) -> dict | None:
    """One case in a pipeline of its own: Python's Beam may stall after it has merged sessions of which one was late."""
    if reopens(script, script["cases"][0]):
        return None
    try:
        return _run(script)[0]
    except TypeError:
        # What it raises then is a tuple, which cannot be raised.
        return None


def _run(script: dict) -> list:
    sink.ROWS.clear()
    options = PipelineOptions(["--allow_unsafe_triggers"])
    options.view_as(StandardOptions).streaming = True
    kept, clock.TestClock.__init__ = clock.TestClock.__init__, _long_ago
    try:
        pipeline = beam.Pipeline("BundleBasedDirectRunner", options=options)
        (
            pipeline
            | _stream(script)
            | beam.ParDo(sink.Mark())
            | windows(script["settings"])
            | beam.GroupByKey()
            | beam.ParDo(sink.Pane())
        )
        pipeline.run().wait_until_finish()
    finally:
        clock.TestClock.__init__ = kept
    panes = [defaultdict(list) for _ in script["cases"]]
    for step, (case, key), span, timing, index, events in sink.ROWS:
        panes[case][*span, key].append((step, NAMES[timing], index, events))
    return panes


def assign(settings: dict) -> window.WindowFn:
    size = Duration(micros=settings["size"] * 1000)
    if settings["is_session"]:
        return window.Sessions(size)
    if settings["period"] is None:
        return window.FixedWindows(size)
    return window.SlidingWindows(size, Duration(micros=settings["period"] * 1000))


def windows(settings: dict) -> beam.PTransform:
    early = trigger.AfterProcessingTime(EARLY_SECONDS) if settings["early"] else None
    return beam.WindowInto(
        assign(settings),
        trigger=trigger.AfterWatermark(early=early, late=trigger.AfterCount(1)),
        accumulation_mode=trigger.AccumulationMode.ACCUMULATING,
        allowed_lateness=Duration(micros=settings["allowed_lateness"] * 1000),
    )


def timestamp(millis: int) -> Timestamp:
    return Timestamp(micros=millis * 1000)


def early_steps(script: dict) -> set:
    """The steps at whose checkpoint early panes are due: at most one every so often, and at once after a restart."""
    every, last, due = script["settings"]["early"], None, set()
    for number, step in enumerate(script["steps"]):
        if every and step["checkpoint"] and (last is None or step["now"] >= last + every):
            last = step["now"]
            due.add(number)
        if step["restart"]:
            last = None
    return due


def event_time(case: dict, time: int, watermark: int | None) -> int:
    """By processing time an event never comes late: it counts at the watermark, at the earliest."""
    late = case["time"] == "processing" and watermark is not None
    return max(time, watermark) if late else time


def holds(settings: dict, time: int) -> bool:
    """Whether any window holds a time; there may be gaps between them."""
    return settings["is_session"] or time % (settings["period"] or settings["size"]) < settings["size"]


def at_equality(settings: dict, time: int, watermark: int | None) -> bool:
    """Whether an event of a session arrives as the watermark equals the end of its own window plus the lateness. Python's
    Beam takes it, and what it merges with, so it is not given it."""
    return settings["is_session"] and watermark == time + settings["size"] + settings["allowed_lateness"]


def reopens(script: dict, case: dict) -> bool:
    """Whether a late event opens a session again that has fired. Python's Beam has no second ON_TIME pane for it, and
    often stalls."""
    gap, sessions = script["settings"]["size"], defaultdict(list)
    for step, time, key, kind, *_ in case["events"]:
        if kind == "other":
            continue
        before = script["steps"][step - 1]["watermark"] if step else None
        start = event_time(case, time, before)
        if at_equality(script["settings"], start, before):
            continue
        end = start + gap
        merged = [one for one in sessions[key] if one[0] < end and start < one[1]]
        span = min([start, *(one[0] for one in merged)]), max([end, *(one[1] for one in merged)])
        if before is not None and span[1] > before and any(one[1] <= before for one in merged):
            return True
        sessions[key] = [one for one in sessions[key] if one not in merged] + [span]
    return False


def _stream(script: dict) -> TestStream:
    stream, watermark = TestStream(), None
    due = early_steps(script)
    bundles = [[] for _ in script["steps"]]
    for number, case in enumerate(script["cases"]):
        for event, (step, time, key, kind, *_) in enumerate(case["events"]):
            before = script["steps"][step - 1]["watermark"] if step else None
            time = event_time(case, time, before)
            # Python's Beam fails at an event that no window holds.
            if kind != "other" and holds(script["settings"], time) and not at_equality(script["settings"], time, before):
                bundles[step].append(TimestampedValue(((number, key), event), timestamp(time)))
    for number, step in enumerate(script["steps"]):
        mark = TimestampedValue(number, timestamp(step["watermark"]))
        stream = stream.add_elements([mark, *bundles[number]])
        if watermark is None or step["watermark"] > watermark:
            watermark = step["watermark"]
            stream = stream.advance_watermark_to(timestamp(watermark))
        if number in due:
            stream = stream.advance_processing_time(EARLY_SECONDS)
    return stream


def _long_ago(test_clock, current_time=None) -> None:
    test_clock._current_time = current_time or Timestamp(LONG_AGO_SECONDS)
