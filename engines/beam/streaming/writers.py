"""Rows go to a topic and, as upserts, to BigQuery."""

import json
import sys
import time

from cases import kills
from compare import check, is_taken_back, replay, wait
from configurations import JOINED, PAGE_CTR, Shape
from outputs import Topic
from pipe import HERE, PROJECT, Pipe
from reconciled import report

sys.path.append(str(HERE))

from bigquery import BigQuery, comparable  # noqa: E402

WRITERS = """[[writers]]
kind = "bigquery"
project = "$project"
dataset = "beam"
location = "EU"
mode = "upsert"
[[writers]]
kind = "pubsub"
topic = "$topic-rows"
"""


def writers(options, folder):
    """Rows of sessions cannot be upserted, so there are none."""
    began = time.monotonic()
    pipe = Pipe(options, folder, Shape(flows=PAGE_CTR + JOINED, writers=WRITERS))
    bigquery = BigQuery(folder, options.aqueduct.parent / "bigquery-double", PROJECT, "beam")
    try:
        # The processor's configuration names the emulator; for Beam it is an option.
        own, pipe.config = pipe.config, folder / "setup.toml"
        emulator = f'rest_endpoint = "http://{bigquery.plain}"\ngrpc_endpoint = "http://{bigquery.plain}"\n'
        pipe.config.write_text(own.read_text().replace('mode = "upsert"\n', 'mode = "upsert"\n' + emulator))
        pipe.run("setup")
        pipe.config = own
        pipe.rows = Topic(PROJECT, f"{pipe.topic}-rows")
        pipe.arguments = [f"--project={PROJECT}", f"--bigQueryEndpoint=http://localhost:{bigquery.port}"]
        pipe.java = bigquery.java
        pipe.pipeline()
        pipe.connector()
        pipe.until(180, pipe.checkpoint, "the first checkpoint")
        pipe.generator(options.rate, options.rate * options.seconds)
        kills(pipe, options)
        is_right = check(pipe, options, began)
        wrong = pipe.rows.wrong_keys(pipe.flows) + tables(pipe, bigquery)
        pipe.config = folder / "setup.toml"
        missing, _ = wait(pipe, 150, lambda: (report(pipe), None))
        wrong += missing
        print(*wrong[:10], sep="\n", end="\n" if wrong else "", flush=True)
        return is_right and not wrong
    finally:
        pipe.end()
        bigquery.end()


def tables(pipe, bigquery):
    """The rows of BigQuery's tables that differ from those of `replay`, and whether progress and dead letters differ from those of
    the topic."""
    wrong = []
    expected, _ = replay(pipe)
    for name, flow in pipe.flows.items():
        texts = set(flow["by"])
        rows = {comparable(json.loads(line), texts) for line in expected if json.loads(line)["flow"] == name}
        found = [comparable(row, texts) for row in bigquery.rows(name)]
        found = [row for row in found if not is_taken_back(flow, json.loads(row))]
        wrong += [f"  only BigQuery: {row}" for row in sorted(set(found) - rows)]
        wrong += [f"  only replay:   {row}" for row in sorted(rows - set(found))]
        if len(set(found)) != len(found):
            wrong.append(f"  {name} has {len(found) - len(set(found))} rows twice")
        progress = {json.loads(line)["at"] for line in pipe.rows.lines("progress") if json.loads(line)["flow"] == name}
        if len({row["at"] for row in bigquery.rows(f"{name}_progress")}) != len(progress):
            wrong.append(f"  {name}_progress has other rows than the topic")
        print(f"{pipe.folder.name}: {len(found)} rows of {name} in BigQuery", flush=True)
    letters = {(row["partition"], row["offset"]) for row in bigquery.rows("dead_letters")}
    if len(letters) != len({(row["partition"], row["offset"]) for row in map(json.loads, pipe.rows.lines("dead_letters"))}):
        wrong.append(f"  {len(letters)} dead letters in BigQuery")
    return wrong
