"""The comparison, row by row. Pure: what either side made comes in, differences go out.

A difference that is known has a name, is counted under it, and is checked to be exactly that difference; any other
fails and is printed with the seed and both sides.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from beam_finals import MERGES, shown, values_of
from beam_panes import at_equality, early_steps, event_time, holds, reopens

PANES = {name: f"{name} panes alike" for name in ("EARLY", "ON_TIME", "LATE")}
ROWS = "final rows alike"
JOINED = "final rows of joins alike"
LEDGERS = "ledgers alike"
# The differences that are known; docs/beam.md has the reasons.
AT_EQUALITY = "explained: Python's Beam counts an event as the watermark equals the end plus the lateness, Java's drops it"
TOGETHER = "explained: late panes of a key fire together at the next checkpoint, Beam's trigger fires one a bundle"
FIRED_AGAIN = "explained: early panes fire again after a restart"
REOPENED = "explained: a late event opens a session again, for which Python's Beam has no second ON_TIME pane"
STALLED = "explained: Python's Beam stalls after it has merged sessions"
GAP = "explained: an event between two windows, at which Python's TestStream fails, is not given to it"


@dataclass
class Compared:
    cases: int = 0
    counts: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)


class Unexplained(Exception):
    pass


def panes(script: dict, beam: list) -> Compared:
    compared = Compared()
    for case, fired in zip(script["cases"], beam, strict=True):
        compared.cases += 1
        counts = Counter(_shapes(script))
        if fired is None:
            compared.counts.update({REOPENED if reopens(script, case) else STALLED: 1})
            continue
        try:
            _Case(script, case, fired, counts).compare()
            compared.counts.update(counts)
        except Unexplained as difference:
            compared.failures.append(_story(script, case, fired, difference))
    return compared


def finals(cases: list, beam: list) -> Compared:
    compared = Compared()
    for case, theirs in zip(cases, beam, strict=True):
        compared.cases += 1
        ours = {(start, end, key): tuple(values) for start, end, key, values in case["rows"]}
        gaps = sum(kind != "other" and not holds(case["settings"], time) for _, time, _, kind, *_ in case["events"])
        others = sum(kind == "other" for _, _, _, kind, *_ in case["events"])
        if ours == theirs and case["ignored"] == gaps + others:
            compared.counts.update({ROWS: len(ours)})
        else:
            only = [(place, ours.get(place), theirs.get(place)) for place in sorted(ours.keys() | theirs.keys(), key=str)]
            lines = [f"    {place}: ours {a}, Beam's {b}" for place, a, b in only if a != b]
            compared.failures.append("\n".join([f"final rows of seed {case['seed']} differ: {case['settings']}", *lines]))
    return compared


def joins(cases: list, beam: list) -> Compared:
    compared = Compared()
    for case, theirs in zip(cases, beam, strict=True):
        compared.cases += 1
        ours = {(start, page): tuple(counts) for start, page, counts in case["rows"]}
        if ours == theirs:
            compared.counts.update({JOINED: len(ours)})
            continue
        only = [(place, ours.get(place), theirs.get(place)) for place in sorted(ours.keys() | theirs.keys())]
        lines = [f"    {place}: ours {a}, Beam's {b}" for place, a, b in only if a != b]
        story = f"joined rows of seed {case['seed']} differ: {case['settings']}, within {case['within']}"
        compared.failures.append("\n".join([story, f"    events {case['events']}", *lines]))
    return compared


class _Case:
    def __init__(self, script: dict, case: dict, fired: dict, counts: Counter):
        self.script, self.case, self.fired, self.counts = script, case, fired, counts
        self.settings, self.steps = script["settings"], script["steps"]
        self.checkpoints = [number for number, step in enumerate(self.steps) if step["checkpoint"]]
        due = sorted(early_steps(script))
        restarts = [number for number, step in enumerate(self.steps) if step["restart"]]
        # The first early panes behind each restart.
        self.told_again = {next((step for step in due if step > restart), None) for restart in restarts}

    def compare(self) -> None:
        self._watermarks()
        ours = defaultdict(list)
        for step, start, end, key, pane, index, values in self.case["panes"]:
            ours[start, end, key].append((step, pane, index, tuple(values)))
        for place in sorted(ours.keys() | self.fired.keys(), key=str):
            try:
                self._window(place[0], ours.get(place, []), self.fired.get(place, []))
            except Unexplained as difference:
                raise Unexplained(f"window and key {place}: {difference}") from None
        self._ledger()

    def _watermarks(self) -> None:
        """The newest time so far less the out-of-orderness."""
        newest = None
        for number, step in enumerate(self.steps):
            times = [time for at, time, *_ in self.case["events"] if at <= number]
            newest = max(times) - self.case["out_of_orderness"]
            if not newest == step["watermark"] == self.case["watermarks"][number]:
                raise Unexplained(f"step {number}: the watermark is not {newest}")

    def _window(self, start: int, ours: list, theirs: list) -> None:
        """The panes of one window and key in the order in which they fired."""
        ours, theirs = ours[::-1], theirs[::-1]
        shift, last, seen = 0, None, ()
        while ours or theirs:
            if theirs and not ours and self._is_at_equality(start, theirs[-1], seen):
                self.counts[AT_EQUALITY] += 1
                seen = theirs.pop()[3]
            elif ours and self._is_told_again(ours[-1], last, theirs):
                self.counts[FIRED_AGAIN] += 1
                shift += 1
                last = ours.pop()
            elif ours and len(theirs) > 1 and self._is_together(ours[-1], theirs[-1], theirs[-2]):
                self.counts[TOGETHER] += 1
                shift -= 1
                seen = theirs.pop()[3]
            elif ours and theirs and self._is_alike(ours[-1], theirs[-1], shift):
                last = ours.pop()
                seen = theirs.pop()[3]
                self.counts[PANES[last[1]]] += 1
            else:
                raise Unexplained(f"ours {ours[-1:]}, Beam's {[self._shown(pane) for pane in theirs[-1:]]}")

    def _is_alike(self, ours: tuple, theirs: tuple, shift: int) -> bool:
        step, pane, index, counts = ours
        beam_step, beam_pane, beam_index, events = theirs
        on_step = self._in_time(step, beam_step) if pane == "LATE" else step == beam_step
        # Python's Beam counts the panes of a session from 0 again when it is merged.
        on_index = self.settings["is_session"] or index == beam_index + shift
        return on_step and on_index and (pane, counts) == (beam_pane, self._counts(events))

    def _in_time(self, ours: int, theirs: int) -> bool:
        """Late panes fire at the next checkpoint at the latest."""
        return theirs <= ours <= next(step for step in self.checkpoints if step >= theirs)

    def _is_together(self, ours: tuple, first: tuple, second: tuple) -> bool:
        late = ours[1] == first[1] == second[1] == "LATE"
        return late and second[0] <= ours[0] and self._in_time(ours[0], first[0]) and set(first[3]) < set(second[3])

    def _is_told_again(self, ours: tuple, last: tuple | None, theirs: list) -> bool:
        """An early pane that says what the one before said, where Beam has none."""
        step, pane, _, counts = ours
        again = step in self.told_again and last is not None and last[1:4:2] == (pane, counts) == ("EARLY", counts)
        return again and not (theirs and theirs[-1][0] == step and theirs[-1][1] == "EARLY")

    def _is_at_equality(self, start: int, theirs: tuple, seen: tuple) -> bool:
        """A late pane that adds nothing but events which came as the watermark equalled the end plus the lateness."""
        step, pane, _, events = theirs
        new = set(events) - set(seen)
        return pane == "LATE" and new and set(seen) < set(events) and all(self._only_equal(start, e) for e in new)

    def _ledger(self) -> None:
        panes = ((place[0], event) for place, fired in self.fired.items() for *_, events in fired for event in events)
        counted = len({event for start, event in panes if not self._only_equal(start, event)})
        gaps = sum(kind != "other" and not self._held(step, time) for step, time, _, kind, *_ in self.case["events"])
        ignored = gaps + sum(kind == "other" for _, _, _, kind, *_ in self.case["events"])
        late = len(self.case["events"]) - counted - ignored
        theirs = {"counted": counted, "late": late, "ignored": ignored}
        ours = {name: self.case[name] for name in theirs}
        if ours != theirs:
            raise Unexplained(f"ledger: ours {ours}, by Beam's panes {theirs}")
        equal = sum(kind != "other" and self._is_equal(step, time) for step, time, _, kind, *_ in self.case["events"])
        self.counts.update({LEDGERS: 1, GAP: gaps, AT_EQUALITY: equal})

    def _only_equal(self, start: int, event: int) -> bool:
        """Whether an event came at the one watermark at which Python's Beam takes what Java's drops."""
        if self.settings["is_session"]:
            return False
        step = self.case["events"][event][0]
        over = start + self.settings["size"] + self.settings["allowed_lateness"]
        return step > 0 and self.steps[step - 1]["watermark"] == over

    def _is_equal(self, step: int, time: int) -> bool:
        before = self.steps[step - 1]["watermark"] if step else None
        return at_equality(self.settings, event_time(self.case, time, before), before)

    def _held(self, step: int, time: int) -> bool:
        before = self.steps[step - 1]["watermark"] if step else None
        return holds(self.settings, event_time(self.case, time, before))

    def _counts(self, events: tuple) -> tuple:
        values = [values_of(*self.case["events"][event][3:]) for event in events]
        return shown(tuple(merge(column) for merge, column in zip(MERGES, zip(*values), strict=True)))

    def _shown(self, pane: tuple) -> tuple:
        step, name, index, events = pane
        return (step, name, index, self._counts(events))


def _shapes(script: dict) -> dict:
    """What kind of case it is, to see that every kind is there."""
    size, period = script["settings"]["size"], script["settings"]["period"]
    shape = "sessions" if script["settings"]["is_session"] else "fixed windows"
    if period is not None:
        shape = "gaps between windows" if period > size else "sliding windows"
        if period < size and size % period:
            shape = "sliding windows whose period does not divide the size"
    names = [shape]
    names += ["windows before 1970"] * (script["steps"][0]["watermark"] < 0)
    names += ["a restart"] * any(step["restart"] for step in script["steps"])
    return {f"cases with {name}": 1 for name in names}


def _story(script: dict, case: dict, fired: dict, difference: Unexplained) -> str:
    """Everything that is needed to see what happened."""
    number = script["cases"].index(case)
    lines = [
        f"panes of seed {script['seed']}, case {number} differ: {difference}",
        f"  settings {script['settings']}, time {case['time']}, out_of_orderness {case['out_of_orderness']}",
    ]
    story = _Case(script, case, fired, Counter())
    for at, step in enumerate(script["steps"]):
        events = [f"{n}:{kind}@{time} {key}" for n, (s, time, key, kind, *_) in enumerate(case["events"]) if s == at]
        ends = "".join(f", {name}" for name in ("checkpoint", "restart") if step[name])
        lines.append(f"  step {at}: {'; '.join(events) or 'no event'}; then watermark {step['watermark']}{ends}")
        lines += [f"    ours   {pane[1:]}" for pane in case["panes"] if pane[0] == at]
        for place, panes in fired.items():
            for pane in (p for p in panes if p[0] == at):
                lines.append(f"    Beam's {[*place, *story._shown(pane)[1:]]} of events {list(pane[3])}")
    return "\n".join(lines)
