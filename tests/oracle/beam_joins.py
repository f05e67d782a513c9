"""Bounded inputs of flows with a join through a batch pipeline of Apache Beam. A stateful DoFn, keyed by the value that
views and clicks share, keeps both until the input ends and then gives each click to its view.
"""

from collections import defaultdict

import apache_beam as beam
import sink
from apache_beam.coders import PickleCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from beam_panes import assign, timestamp


class Join(beam.DoFn):
    """(case and value, (time, page, is a view, is a click)) to (time, (case and page, views, clicks, attributed))."""

    EVENTS = BagStateSpec("events", PickleCoder())
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, within: int):
        self.within = within

    def process(self, element, events=beam.DoFn.StateParam(EVENTS), end=beam.DoFn.TimerParam(END)):
        case_and_value, event = element
        events.add((case_and_value[0], event))
        end.set(GlobalWindow().max_timestamp())

    @on_timer(END)
    def ended(self, events=beam.DoFn.StateParam(EVENTS)):
        events_read = list(events.read())
        # Of views at one time the one with the smallest page takes the clicks; no page is before any page.
        views = sorted({(time, page or "") for _, (time, page, is_view, _) in events_read if is_view})
        clicked = set()
        for case, (time, _, _, is_click) in events_read:
            owners = [view for view in views if view[0] <= time <= view[0] + self.within] if is_click else []
            if owners:
                newest = max(view[0] for view in owners)
                owner = min(view for view in owners if view[0] == newest)
                clicked.add((case, owner))
                yield time, ((case, owner[1]), (0, 1, 0))
        for case, (time, page) in clicked:
            yield time, ((case, page), (0, 0, 1))


def run(cases: list) -> list:
    """For each case views, clicks and attributed clicks by window and key."""
    sink.ROWS.clear()
    branches = defaultdict(list)
    for number, case in enumerate(cases):
        settings = case["settings"]
        shape = settings["size"], settings["period"], case["within"]
        for time, page, kind, value in case["events"]:
            if kind != "other":
                event = (time, page, kind in ("view", "both"), kind in ("click", "both"))
                branches[shape].append(((number, value), event))
    with beam.Pipeline("FnApiRunner") as pipeline:
        for (size, period, within), events in branches.items():
            name = f"{size}/{period}/{within}"
            created = pipeline | f"{name} events" >> beam.Create(events, reshuffle=False)
            views = (
                created
                | f"{name} of views" >> beam.Filter(lambda element: element[1][2])
                | f"{name} views" >> beam.Map(lambda e: (e[1][0], ((e[0][0], e[1][1] or ""), (1, 0, 0))))
            )
            joined = created | f"{name} join" >> beam.ParDo(Join(within))
            (
                (views, joined)
                | f"{name} together" >> beam.Flatten()
                | f"{name} times" >> beam.Map(lambda change: TimestampedValue(change[1], timestamp(change[0])))
                | f"{name} windows" >> beam.WindowInto(assign({"size": size, "period": period, "is_session": False}))
                | f"{name} counts" >> beam.CombinePerKey(beam.combiners.TupleCombineFn(sum, sum, sum))
                | f"{name} rows" >> beam.ParDo(sink.Final())
            )
    rows = [{} for _ in cases]
    for (case, page), (start, _), counts in sink.ROWS:
        rows[case][start, page] = counts
    return rows
