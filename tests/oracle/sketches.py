"""Reads the sketches that `aqueduct replay` writes with another implementation of Apache DataSketches, as BigQuery's
functions do: the estimates are ours, and sketches of windows merge to the estimate of all their values.
"""

import base64
import json
import subprocess
import tempfile
from pathlib import Path

import datasketches

CONFIG = """
[events]
time = "/time"

[anonymise]
forward = ["/time", "/page", "/user"]

[[flows]]
name = "users"
by = { page = "/page" }
window = { size = "10m" }

[flows.measures]
users = { distinct = "/user", sketch = true }
"""
# Users of each page in each window: sketches hold few values as a list, more as a set, and many as registers.
SIZES = (1, 7, 8, 300, 20_000)
WINDOWS = 3
MINUTE = 60_000
LOG_REGISTERS = 12


def compare(binary: Path) -> list[str]:
    """What differs; nothing if all is well."""
    with tempfile.TemporaryDirectory(prefix="aqueduct-sketches-") as folder:
        place = Path(folder)
        (place / "aqueduct.toml").write_text(CONFIG)
        with (place / "events.ndjson").open("w") as events:
            for event in _events():
                events.write(json.dumps(event) + "\n")
        replay = [binary, "replay", "--anonymised", "--final", "--output", "rows.ndjson", "events.ndjson"]
        subprocess.run(replay, cwd=place, check=True, capture_output=True)
        rows = [json.loads(line) for line in (place / "rows.ndjson").read_text().splitlines()]
    failures = [] if len(rows) == len(SIZES) * WINDOWS else [f"sketches: {len(rows)} rows"]
    for size in SIZES:
        failures.extend(_of_page(size, [row for row in rows if row["page"] == f"/{size}"]))
    return failures


def _events():
    for window in range(WINDOWS):
        for size in SIZES:
            # Each window shares half of its users with the one before it.
            first = window * (size // 2)
            for user in range(first, first + size):
                yield {"time": window * 10 * MINUTE + user % MINUTE, "page": f"/{size}", "user": f"user-{user}"}


def _of_page(size: int, rows: list[dict]):
    union = datasketches.hll_union(LOG_REGISTERS)
    for row in rows:
        sketch = datasketches.hll_sketch.deserialize(base64.b64decode(row["users_sketch"]))
        if sketch.lg_config_k != LOG_REGISTERS:
            yield f"sketches: {row['page']}: 2^{sketch.lg_config_k} registers"
        if round(sketch.get_estimate()) != row["users"]:
            yield f"sketches: {row['page']}: {sketch.get_estimate()} and not {row['users']}"
        union.update(sketch)
    users = (WINDOWS - 1) * (size // 2) + size
    estimate = union.get_estimate()
    # Five standard errors; few values are counted one by one.
    if abs(estimate - users) > (0.082 * users if users > 300 else 0.5):
        yield f"sketches: {estimate} users of /{size} in all windows and not {users}"
