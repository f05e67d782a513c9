"""What Beam's own reader of Pub/Sub makes of the messages that the source of `engines/beam` counts once."""

import json
import os
import time

from compare import check, finals, panes, wait
from configurations import Shape
from pipe import HERE, PROJECT, Pipe

BY_PAGE = """[[flows]]
name = "by_page"
time = "kafka"
by = { page = "/page" }
window = { size = "10s" }
allowed_lateness = "20m"
measures.events = { count = {} }
"""
# PubsubIO's watermark is the present when no message has arrived for a minute.
AWAY_SECONDS = 90


def pubsubio(options, folder):
    """Both count events by page and Kafka's time, each from a subscription of its own, while the connector is killed twice and
    is away for longer than PubsubIO waits before it takes silence for the absence of events. It passes if the rows of
    `engines/beam` are right, whatever PubsubIO counts."""
    began = time.monotonic()
    pipe = Pipe(options, folder, Shape(flows=BY_PAGE))
    try:
        own = pipe.config
        pipe.run("setup")
        pipe.configure("plain")
        pipe.run("setup")
        pipe.config = own
        plain = folder / "plain.tsv"
        start_plain(pipe, plain)
        pipe.pipeline()
        pipe.connector()
        pipe.until(180, pipe.checkpoint, "the first checkpoint")
        pipe.generator(options.rate, options.rate * options.seconds)
        for pause in (0, AWAY_SECONDS):
            time.sleep(options.seconds / 3)
            pipe.kill("connector")
            time.sleep(pause)
            pipe.connector()
        is_right = check(pipe, options, began)
        lines = finals(pipe.flows, panes(pipe.rows.lines("rows"))[0])
        expected = sum(row["events"] for row in (json.loads(line + "}") for line in lines) if row["page"] is not None)
        wait(pipe, options.wait, lambda: (counted(plain)[0] < expected, None))
        found, late = counted(plain)
        print(f"{folder.name}: {expected} events have a page; PubsubIO counts {found}, with {late} LATE panes", flush=True)
        return is_right
    finally:
        pipe.end()


def start_plain(pipe, output):
    command = [HERE / "run", "--runner=FlinkRunner", "--flinkMaster=[local]", "--parallelism=2", "--checkpointingInterval=2000",
        "--autoWatermarkInterval=200", "--stateBackend=filesystem", f"--project={PROJECT}", f"--output={output}",
        f"--stateBackendStoragePath={(pipe.folder / 'plain-state').as_uri()}",
        f"--pubsubRootUrl=http://{os.environ['PUBSUB_EMULATOR_HOST']}",
        f"--subscription=projects/{PROJECT}/subscriptions/{pipe.topic}-plain"]
    main = {"AQUEDUCT_MAIN": "aqueduct.beam.PlainStream", "AQUEDUCT_CLASSES": str(HERE / "target/test-classes")}
    pipe.spawn("plain", [str(part) for part in command], **main)


def counted(plain):
    """The sum over the last panes of all windows and pages, and the number of LATE panes."""
    last, late = {}, 0
    for line in plain.read_text().splitlines() if plain.exists() else []:
        window, page, index, timing, events = line.split("\t")
        late += timing == "LATE"
        last[window, page] = max(last.get((window, page), (-1, 0)), (int(index), int(events)))
    return sum(events for _, events in last.values()), late
