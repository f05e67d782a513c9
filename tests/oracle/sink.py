"""Where the pipelines of this process leave what they saw. Beam copies what a pipeline refers to, but not a module:
that is why this is one.
"""

import apache_beam as beam

ROWS: list = []
STEP = -1


class Mark(beam.DoFn):
    """Removes the marks of the starts of steps."""

    def process(self, element):
        global STEP
        if isinstance(element, int):
            STEP = element
        else:
            yield element


class Pane(beam.DoFn):
    """Keeps a pane: step, case and key, start and end of the window, timing, index, numbers of its events."""

    def process(self, element, window=beam.DoFn.WindowParam, pane=beam.DoFn.PaneInfoParam):
        case_and_key, events = element
        span = window.start.micros // 1000, window.end.micros // 1000
        ROWS.append((STEP, case_and_key, span, pane.timing, pane.index, tuple(sorted(events))))


class Final(beam.DoFn):
    """Keeps a final row: case and key, start and end of the window, values."""

    def process(self, element, window=beam.DoFn.WindowParam):
        case_and_key, counts = element
        span = window.start.micros // 1000, window.end.micros // 1000
        ROWS.append((case_and_key, span, tuple(counts)))
