"""What event ids, a join and compression add to a replay: ours alone, beside the decoders of gzip and Zstandard."""

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta

# The flow of the other tables, with event ids or with a join. A join may fire a window again, so that only the last panes
# are compared, and it needs lateness for as long as a click may come after its view.
IDS = ('time = "/time"', 'time = "/time"\nid = "/event_id"')
JOIN = ('period = "1m" }', 'period = "1m" }\njoin = { on = "/view_id", within = "10m" }\nallowed_lateness = "10m"')
WITHIN = timedelta(minutes=10)
# A view is in ten windows, and so is a click that belongs to it.
WINDOWS = 10

DECODERS = {"gz": ("gzip", "-dc"), "zst": ("zstd", "-dcq")}


def edited(config, edit):
    """The configuration with more to do."""
    before, after = edit
    if before not in config:
        sys.exit(f"the configuration has no {before!r} any more")
    return config.replace(before, after)


def compressed(binary, generate, folder):
    """The same events, written with each compression."""
    found = {}
    for kind in DECODERS:
        found[kind] = folder / f"events.ndjson.{kind}"
        subprocess.run([binary, *generate, "--output", found[kind]], check=True, stderr=subprocess.DEVNULL)
    return found


def decoder(kind, path):
    """A command that only decodes a file."""
    tool = shutil.which(DECODERS[kind][0])
    if tool is None:
        sys.exit(f"{DECODERS[kind][0]} is missing; apt-get install {DECODERS[kind][0]} brings it")
    return ["sh", "-c", f"exec {tool} {DECODERS[kind][1]} '{path}' > /dev/null"]


def attributed(rows):
    """The sum of the attributed clicks of all rows: each window counts the views that were clicked."""
    with open(rows, encoding="utf-8") as lines:
        return sum(json.loads(line)["attributed_clicks"] for line in lines)


def expected(events):
    """The same, counted again: views that were clicked. Events are in order, and a view comes before its clicks."""
    views, clicked = {}, set()
    with open(events, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            kind, view = event["type"], event.get("view_id")
            if kind == "view":
                views[view] = datetime.fromisoformat(event["time"])
            elif kind == "click" and view in views and datetime.fromisoformat(event["time"]) - views[view] <= WITHIN:
                clicked.add(view)
    return WINDOWS * len(clicked)


def check_join(rows, events):
    """Ends where clicked views were counted otherwise than a recount does it. In a process of its own: the most memory
    that a program is charged with begins with that of the process which started it."""
    done = subprocess.run([sys.executable, __file__, rows, events])
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    found, counted = attributed(sys.argv[1]), expected(sys.argv[2])
    if found != counted:
        sys.exit(f"{found} clicked views were counted, and {counted} by a recount")
