"""The rows of `engines/beam` in BigQuery and in a Pub/Sub topic, against those of `aqueduct replay --final`; twice, so that
the second run has to replace what the first one wrote.

Needs PUBSUB_EMULATOR_HOST, openssl, and what `cargo build --workspace` and Maven build. BigQuery is the stand-in of
`tests/doubles`, behind TLS, as Google's client takes nothing else.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "connect"))

from bigquery import BigQuery, comparable, run  # noqa: E402
from fixtures import PROJECT, Reader, check  # noqa: E402

TOPIC = "beam-rows"
DATASET = "beam"
TEXTS = ("page", "country", "user", "users_sketch")

FLOWS = """
[events]
time = "/time"

[[flows]]
name = "pages"
by = { page = "/page", country = "/country" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "10m", period = "5m" }
join = { on = "/id", within = "5m" }
[flows.measures]
revenue = { sum = "/price" }
users = { distinct = "/user", sketch = true }

[[flows]]
name = "sessions"
by = { user = "/user" }
window = { session = "2m" }
measures.n = { count = {} }
"""
WRITERS = """
[pubsub]
project = "{project}"
topic = "beam-events"
[[writers]]
kind = "bigquery"
project = "{project}"
dataset = "{dataset}"
location = "EU"
mode = "upsert"
{emulator}
[[writers]]
kind = "pubsub"
topic = "{topic}"
"""


def events(path):
    lines = []
    for n in range(600):
        event = {
            "time": 1_790_000_000_000 + n * 5_000, "type": "click" if n % 3 == 0 else "view", "page": f"/{n % 7}",
            "country": None if n % 5 == 0 else "PL", "id": n // 3, "user": f"u{n % 11}", "price": 1.25,
        }
        if n % 100 == 50:
            event["page"] = ["/a"]
        lines.append(json.dumps(event) if n % 100 != 99 else "no JSON")
    path.write_text("\n".join(lines) + "\n")


def by_of(flow, row):
    return [row[column] for column in (("page", "country") if flow == "pages" else ("user",))]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aqueduct", type=pathlib.Path, default=ROOT / "target/debug/aqueduct")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/beam/sinks")
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    work, aqueduct = options.work, options.aqueduct
    bigquery = BigQuery(work, aqueduct.parent / "bigquery-double", PROJECT, DATASET)
    reader = Reader(TOPIC)
    emulator = f'rest_endpoint = "http://{bigquery.plain}"\ngrpc_endpoint = "http://{bigquery.plain}"'
    names = {"project": PROJECT, "dataset": DATASET, "topic": TOPIC}
    # The processor's configuration names the emulator; for Beam it is an option.
    (work / "setup.toml").write_text(FLOWS + WRITERS.format(emulator=emulator, **names))
    (work / "aqueduct.toml").write_text(FLOWS + WRITERS.format(emulator="", **names))
    events(work / "events.ndjson")
    run(aqueduct, "setup", "--config", work / "setup.toml")
    run(aqueduct, "replay", "--anonymised", "--final", "--config", work / "aqueduct.toml", "--output", work / "replay.ndjson",
        f"events={work / 'events.ndjson'}")
    expected = {"pages": [], "sessions": []}
    for line in (work / "replay.ndjson").read_text().splitlines():
        expected[json.loads(line)["flow"]].append(comparable(json.loads(line), TEXTS))
    environment = dict(os.environ, AQUEDUCT_JAVA_OPTIONS=f"-XX:TieredStopAtLevel=1 {bigquery.java}")
    for _ in range(2):
        done = run(HERE / "run", f"--config={work / 'aqueduct.toml'}", "--runner=FlinkRunner", "--parallelism=1",
                   f"--project={PROJECT}", f"--files=events={work / 'events.ndjson'}",
                   f"--bigQueryEndpoint=http://localhost:{bigquery.port}", env=environment)
    print(done.stderr)
    for flow, rows in expected.items():
        found = bigquery.rows(flow)
        for row in found:
            check_quietly("the column of the key", json.loads(row["aqueduct_key"]) == by_of(flow, row), str(row))
        found = [comparable(row, TEXTS) for row in found]
        check(f"BigQuery has the {len(rows)} rows of {flow} once", sorted(found) == sorted(rows), f"{sorted(found)[:2]} {sorted(rows)[:2]}")
        progress = bigquery.rows(f"{flow}_progress")[-1]
        outcomes = ("counted", "duplicate", "late", "rejected", "ignored", "unmatched", "pending")
        total = sum(int(progress[outcome]) for outcome in outcomes)
        check(f"the ledger of {flow} balances", total == 600 and progress["pending"] == "0", str(progress))
    letters = {(row["offset"], row["reason"], row["pointer"]) for row in bigquery.rows("dead_letters")}
    check("dead letters have their lines", len(letters) == 10 and ("100", "not-json", None) in letters, str(letters))
    # Each run publishes all rows, progress of two flows and the dead letters.
    wanted = 2 * (sum(map(len, expected.values())) + 2 + len(letters))
    pulls = 0
    while len(messages := reader.pull()) < wanted:
        pulls += 1
        check_quietly("all messages arrive", pulls < 1_000, f"{len(messages)} of {wanted}")
    published = {flow: set() for flow in expected}
    for data, attributes, key in messages:
        if attributes["kind"] == "row":
            row = json.loads(data)
            published[attributes["flow"]].add(comparable(row, TEXTS))
            check_quietly("the ordering key", json.loads(key) == [row["flow"], *by_of(row["flow"], row)], key)
            check_quietly("the pane", attributes["pane"] == "ON_TIME", str(attributes))
    check("the topic has the same rows", all(published[flow] == set(rows) for flow, rows in expected.items()))
    bigquery.end()


def check_quietly(what, is_true, more):
    if not is_true:
        raise SystemExit(f"failed: {what} {more}")


if __name__ == "__main__":
    main()
