#!/usr/bin/env python3
"""Prints the busiest boxes of the newest complete window every minute, from BigQuery's REST interface.

    busiest.py           every minute, until stopped
    busiest.py --once    once; exit code 1 if there are no rows yet

BIGQUERY_REST, PROJECT, DATASET and FLOW say where the rows are. Until the first window is complete, the one that ends
next is shown as far as it goes. Standard library only.
"""

import json
import os
import signal
import sys
import time
from datetime import datetime, timezone
from urllib.error import HTTPError
from urllib.request import Request, urlopen

URL = f"{os.environ['BIGQUERY_REST']}/bigquery/v2/projects/{os.environ['PROJECT']}/queries"
LATEST = f"`{os.environ['PROJECT']}.{os.environ['DATASET']}.{os.environ['FLOW']}_latest`"
BOXES = 10
EVERY_SECONDS = 60
# Until there are rows, they are looked for more often.
RETRY_SECONDS = 5

WINDOW = f"""
    SELECT UNIX_MICROS(COALESCE(MAX(IF(pane = 'EARLY', NULL, window_end)), MIN(window_end))) AS window_end,
           COUNTIF(pane != 'EARLY') AS complete
    FROM {LATEST}
"""
BUSIEST = f"""
    SELECT page, box, views, clicks, ctr, ctr_low, ctr_high, UNIX_MICROS(window_start) AS window_start
    FROM {LATEST} WHERE window_end = TIMESTAMP_MICROS(%s)
    ORDER BY views DESC, clicks DESC, page, box LIMIT {BOXES}
"""


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if sys.argv[1:] == ["--once"]:
        text = report()
        print(text or "no rows yet")
        return 0 if text else 1
    trouble = ""
    while True:
        began = time.monotonic()
        try:
            text = report()
        except OSError as error:
            # No response, or no such table yet: reported once.
            text = ""
            if trouble != str(error):
                trouble = str(error)
                print(f"waiting for rows: {trouble}", flush=True)
        if text:
            print(text, end="\n\n", flush=True)
        time.sleep(max(0, (EVERY_SECONDS if text else RETRY_SECONDS) - (time.monotonic() - began)))


def report() -> str:
    """The table, or nothing while there are no rows."""
    [(window_end, complete)] = query(WINDOW)
    if window_end is None:
        return ""
    rows = query(BUSIEST % window_end)
    start, end = (datetime.fromtimestamp(int(micros) / 1e6, timezone.utc) for micros in (rows[0][7], window_end))
    progress = "" if int(complete) else ", not complete yet"
    lines = [
        f"busiest boxes from {start:%H:%M} to {end:%H:%M} UTC{progress}",
        f"  {'page':<40} {'box':<16} {'views':>9} {'clicks':>9} {'ctr':>7}   95 % interval",
    ]
    for page, box, views, clicks, ctr, low, high, _ in rows:
        interval = f"{percent(low)} to {percent(high)}" if low is not None else "-"
        lines.append(
            f"  {page or '-':<40} {box or '-':<16} {int(views):>9,} {int(clicks):>9,} {percent(ctr):>7}   {interval}"
        )
    return "\n".join(lines)


def percent(share) -> str:
    return "-" if share is None else f"{100 * float(share):.2f}%"


def query(sql: str) -> list:
    """The rows, each a list of strings or None; an answer that is an error is an OSError."""
    body = json.dumps({"query": sql, "useLegacySql": False}).encode()
    request = Request(URL, body, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as response:
            answer = json.load(response)
    except HTTPError as error:
        raise OSError(message(error.read()) or str(error)) from error
    # bqemulator reports errors in a response with status 200.
    if answer.get("errors"):
        raise OSError(answer["errors"][0]["message"])
    return [[cell["v"] for cell in row["f"]] for row in answer.get("rows", [])]


def message(body: bytes) -> str:
    """What BigQuery says of an error."""
    try:
        return json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
