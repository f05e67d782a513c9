"""The rows and outcomes of a pipeline against those of `aqueduct replay --kafka --final`."""

import collections
import json
import re
import time

from pipe import Failed

# The columns that differ in a stream: which pane is the last, and when it fired.
PANE = ',"pane":'
OUTCOMES = ("counted", "duplicate", "late", "rejected", "ignored", "filtered", "unmatched", "lost", "absent", "pending")


def panes(lines):
    """All panes, and the number of lines that repeat one; two different panes with one index are an error."""
    seen, copies = {}, 0
    for line in lines:
        row = json.loads(line)
        start = line[: line.index(',"window_start":')]
        identity = (start, row["window_start"], row["window_end"], row["pane_index"])
        if identity in seen:
            copies += 1
            if seen[identity][1] != line:
                raise Failed(f"two panes have one index:\n{line}\n{seen[identity][1]}")
        seen[identity] = (row, line)
    return [(identity[0], *value) for identity, value in seen.items()], copies


def finals(flows, all_panes):
    """The last pane of each window and key. A session is replaced by a later pane that overlaps it."""
    last = collections.defaultdict(list)
    ordered = sorted(all_panes, key=lambda pane: (pane[1]["pane_index"], pane[1]["emitted_at"]))
    for key, row, line in ordered:
        start, end = row["window_start"], row["window_end"]
        if row["flow"] not in flows:
            continue
        if "session" in flows[row["flow"]]["window"]:
            last[key] = [old for old in last[key] if not (old[0] < end and start < old[1])] + [(start, end, line)]
        else:
            last[key, start, end] = [(start, end, line)]
    counter = collections.Counter()
    for line in (line for kept in last.values() for _, _, line in kept):
        row = json.loads(line)
        if not is_taken_back(flows[row["flow"]], row):
            counter[line[: line.rindex(PANE)]] += 1
    return counter


def is_taken_back(flow, row):
    """Whether nothing is left of a row, because a click belongs to another view: no final row has this key."""
    measures = ("views", "clicks", "attributed_clicks", *flow.get("measures", {}))
    return "join" in flow and not any(row[name] for name in measures)


def replay(pipe):
    """The lines of the final rows of `replay`, and the outcomes of each flow."""
    path = pipe.folder / "replay.ndjson"
    if not path.exists():
        (pipe.folder / "replay.txt").write_text(pipe.run("replay", "--kafka", "--final", "--output", path))
    ledgers = {}
    for flow, parts in re.findall(r"^flow (\S+): \d+ = (.*)$", (pipe.folder / "replay.txt").read_text(), re.MULTILINE):
        ledgers[flow] = {part.split()[1]: int(part.split()[0]) for part in parts.split(" + ")}
    # A flow that was added later has no rows of the time before.
    return [line for line in path.read_text().splitlines() if json.loads(line)["flow"] in pipe.flows], ledgers


def difference(pipe):
    lines, _ = replay(pipe)
    ours = collections.Counter(line[: line.rindex(PANE)] for line in lines)
    all_panes, copies = panes(pipe.rows.lines("rows"))
    theirs = finals(pipe.flows, all_panes)
    wrong = [f"  only replay: {row}" for row in sorted((ours - theirs).elements())]
    wrong += [f"  only Beam:   {row}" for row in sorted((theirs - ours).elements())]
    return ours.total(), wrong, len(all_panes), copies


def sums(pipe):
    """As `difference`, without windows: the sums of the columns of counts by key, where windows cannot be compared."""
    lines, _ = replay(pipe)
    all_panes, copies = panes(pipe.rows.lines("rows"))
    ours = summed(pipe.flows, lines)
    # Without the columns from the pane on, a row is still JSON with a closing brace.
    theirs = summed(pipe.flows, [line + "}" for line in finals(pipe.flows, all_panes).elements()])
    wrong = [f"  {key}: replay {ours[key]}, Beam {theirs[key]}" for key in sorted(ours | theirs) if ours[key] != theirs[key]]
    return len(ours), wrong, len(all_panes), copies


def summed(flows, lines):
    total = collections.Counter()
    for row in map(json.loads, lines):
        flow = flows[row["flow"]]
        # A click of a join belongs to another view, or to none, if times are others.
        counts = ("views",) if "join" in flow else ("views", "clicks", "events")
        for column in counts:
            if column in row:
                total[(row["flow"], *(str(row[name]) for name in flow["by"]), column)] += row[column]
    return total


def unbalanced(pipe, outcomes):
    """What is wrong in the newest rows of progress: each flow accounts for every record as `replay` does, and each rejected
    record has a dead letter."""
    newest = {}
    for row in map(json.loads, pipe.rows.lines("progress")):
        if row["at"] > newest.get(row["flow"], {"at": ""})["at"]:
            newest[row["flow"]] = row
    if not newest.keys() >= pipe.flows.keys():
        return ["  not every flow has a row of progress"]
    _, ledgers = replay(pipe)
    wrong = []
    for flow in sorted(pipe.flows):
        row, expected = outcomes(newest[flow]), outcomes(ledgers[flow])
        if sum(row.values()) != pipe.records:
            wrong.append(f"  {flow}: {sum(row.values())} of {pipe.records} records: {row}")
        elif row != expected:
            wrong.append(f"  {flow}: replay {expected}, Beam {row}")
    rejected = (row for row in map(json.loads, pipe.rows.lines("dead_letters")) if row["pointer"] not in pipe.corrected)
    letters = {(row["topic"], row["partition"], row["offset"]) for row in rejected}
    # What one flow rejects, another may ignore.
    if max(row["rejected"] for row in newest.values()) != len(letters):
        wrong.append(f"  {len(letters)} dead letters")
    return wrong


def outcomes(row):
    """With the clicks that wait for a view as unmatched: `replay` knows that none will arrive."""
    known = {name: row.get(name, 0) for name in OUTCOMES}
    known["unmatched"] += known.pop("pending")
    return known


def outcomes_at_other_times(row):
    """As `outcomes`, where a click may be more than `within` behind its view in the one and not in the other."""
    known = outcomes(row)
    known["counted"] += known.pop("unmatched")
    return known


def check(pipe, options, began, compare=difference, outcomes=outcomes):
    """Waits for the end of the traffic, and until rows and outcomes are equal or the time is over; whether they are."""
    pipe.until(120, pipe.has_ended, "the end of the traffic")
    wrong, (rows, fired, copies) = wait(pipe, options.wait, lambda: rows_differ(pipe, compare))
    pipe.measure()
    print(f"{pipe.folder.name}: {rows} rows of {fired} panes ({copies} written again), {len(wrong)} differ, "
          f"at most {pipe.peak} MB, {time.monotonic() - began:.0f} s", *wrong[:10], sep="\n", flush=True)
    others = []
    if not options.quick:
        # Each reader reports once a minute, and the first one's report becomes a row with the last ones of the others.
        others, _ = wait(pipe, 150, lambda: (unbalanced(pipe, outcomes), None))
        print(*others, sep="\n", end="\n" if others else "", flush=True)
    return not wrong and not others and rows > 0


def rows_differ(pipe, compare):
    rows, wrong, fired, copies = compare(pipe)
    return wrong, (rows, fired, copies)


def wait(pipe, seconds, look):
    """Looks until nothing is wrong any more or the time is over."""
    limit = time.monotonic() + seconds
    wrong, more = look()
    while wrong and time.monotonic() < limit:
        pipe.alive()
        time.sleep(1)
        wrong, more = look()
    return wrong, more
