"""The rows of `engines/beam` on Flink against those of `aqueduct replay`: of the examples and of random cases.

Both read the same anonymised events. The final rows are those of the pipeline over files. They are compared as they are
written, so numbers have to be the same to the last digit; only the columns from `pane` on differ, as that pipeline fires
each window once. All panes are those of the pipeline over a stream, which reads the events with the watermarks of `replay`.
They are compared with their kind, index and watermark.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# With another format the events are no lines of JSON before they are decoded.
DECODED = {"avro", "protobuf"}


def run(command, **options):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return done


def example(aqueduct, source, folder):
    """Copies an example and anonymises its events, as the connector would publish them."""
    folder.mkdir()
    # EARLY panes depend on the time of day, and `replay` fires none.
    lines = (source / "aqueduct.toml").read_text().splitlines(keepends=True)
    (folder / "aqueduct.toml").write_text("".join(line for line in lines if not line.startswith("early")))
    run([aqueduct, "keys", "new", "--config", folder / "aqueduct.toml"])
    names = []
    for events in sorted(source.glob("*.ndjson")):
        topic = next(line for line in (source / "aqueduct.toml").read_text().splitlines() if line.startswith("topics"))
        topic = events.stem if f'"{events.stem}"' in topic else topic.split('"')[1]
        command = [aqueduct, "anonymise", "--config", folder / "aqueduct.toml", "--topic", topic]
        anonymised = run(command, stdin=events.open()).stdout
        (folder / events.name).write_text(anonymised)
        names.append(f"{topic}={events.name}")
    (folder / "files.txt").write_text("".join(name + "\n" for name in names))


def distinct(folder):
    """Sketches in all their forms: of a few values, of some hundreds and of many, with values of many lengths."""
    folder.mkdir()
    (folder / "aqueduct.toml").write_text("""[events]
time = "/t"
[[flows]]
name = "users"
by = { page = "/p" }
window = { size = "1h" }
measures.users = { distinct = "/u", sketch = true }
measures.sum = { sum = "/n" }
measures.mean = { ratio = ["sum", "users"], per = 3 }
[[flows]]
name = "joined"
by = { page = "/p" }
views = { "/k" = 0 }
clicks = { "/k" = 1 }
window = { size = "1h", period = "20m" }
join = { on = "/u", within = "10m" }
measures.users = { distinct = "/u", sketch = true }
measures.least = { min = "/n" }
measures.most = { max = "/n" }
""")
    lines = []
    for n in range(30_000):
        size = (3, 40, 400, 100_000)[n % 4]
        user = "u" * (n % 300) + str(n * 7919 % size)
        lines.append(f'{{"t":{1_790_000_000_000 + n * 250},"p":"{n % 4}","u":"{user}","n":{n * 37 % 1000}e-4,"k":{n % 3}}}\n')
    (folder / "events.ndjson").write_text("".join(lines))
    (folder / "files.txt").write_text("events=events.ndjson\n")


def prepare(aqueduct, work, cases, first):
    work.mkdir()
    for source in sorted((ROOT / "examples").iterdir()):
        if source.name not in DECODED:
            example(aqueduct, source, work / source.name)
    distinct(work / "distinct")
    if cases:
        run([aqueduct.parent / "export-counting", "--first", first, "--cases", cases, "--into", work])
    for folder in sorted(work.glob("seed-*")):
        names = sorted(file.name for file in folder.glob("*.ndjson"))
        text = "".join(f"{name.rsplit('-', 1)[0]}={name}\n" for name in names)
        (folder / "files.txt").write_text(text)


def replay(aqueduct, folder, output, *options):
    names = [name.split("=") for name in (folder / "files.txt").read_text().split()]
    files = [f"{topic}={folder / file}" for topic, file in names]
    config = ["--config", folder / "aqueduct.toml"]
    command = [aqueduct, "replay", "--anonymised", *options, *config, "--output", folder / output, *files]
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True)
    # With nothing but rejects there is no output, which Beam's is compared with all the same.
    if done.returncode != 0 and "records were rejected" not in done.stderr:
        sys.exit(f"{folder}: {done.stderr}")
    (folder / output).touch()
    return ledgers_of(done.stderr)


def ledgers_of(report):
    """What was rejected, and the outcomes of each flow."""
    return [line for line in report.splitlines() if line.startswith("flow ")]


def rows(path):
    lines = path.read_text().splitlines()
    return collections.Counter(line[: line.rindex(',"pane":')] for line in lines)


def panes(folder, name):
    """All rows as they are written, without the time at which that was.

    LATE panes of a join have no watermark here: that of a click which waits in a stream of `Panes.java` is older.
    """
    flows = tomllib.loads((folder / "aqueduct.toml").read_text())["flows"]
    joins = [f'{{"flow":"{flow["name"]}",' for flow in flows if "join" in flow]
    rows = collections.Counter()
    for line in (folder / name).read_text().splitlines():
        is_joined = '"pane":"LATE"' in line and any(line.startswith(join) for join in joins)
        rows[line[: line.rindex(',"watermark":' if is_joined else ',"emitted_at":')]] += 1
    return rows


def ledgers_of_progress(folder):
    """The last outcomes of each flow, as the reports have them."""
    for line in (folder / "beam-progress.ndjson").read_text().splitlines():
        row = json.loads(line)
        counts = {name: row[name] for name in list(row)[3:] if name != "detail" and row[name] or name == "counted"}
        parts = " + ".join(f"{count} {name}" for name, count in counts.items())
        yield f"flow {row['flow']}: {sum(counts.values())} = {parts}"


def difference(ours, theirs):
    wrong = [f"  only replay: {row}" for row in sorted((ours - theirs).elements())]
    return wrong + [f"  only Beam:   {row}" for row in sorted((theirs - ours).elements())]


def differences(folder, expected):
    """How many final rows and panes `replay` has, and what differs."""
    ours, fired = rows(folder / "replay.ndjson"), collections.Counter()
    wrong = difference(ours, rows(folder / "beam.ndjson"))
    ledgers = [ledgers_of((folder / "beam.txt").read_text())]
    if (folder / "panes.ndjson").exists():
        fired = panes(folder, "panes.ndjson")
        wrong += difference(fired, panes(folder, "beam-rows.ndjson"))
        ledgers.append(list(ledgers_of_progress(folder)))
    for found in ledgers:
        if sorted(found) != sorted(expected):
            wrong += [f"  replay: {line}" for line in expected] + [f"  Beam:   {line}" for line in found]
    return ours.total(), fired.total(), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aqueduct", type=pathlib.Path, default=ROOT / "target/debug/aqueduct")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/beam/compare")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--panes", type=int, default=60,
        help="of how many of the random cases, and of all examples, panes are compared; 0 for none")
    parser.add_argument("--runner", default="FlinkRunner")
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.parent.mkdir(parents=True, exist_ok=True)
    prepare(options.aqueduct, options.work, options.cases, options.first)
    folders = sorted(options.work.iterdir())
    expected = {folder: replay(options.aqueduct, folder, "replay.ndjson", "--final") for folder in folders}
    seeds = [folder for folder in folders if folder.name.startswith("seed-")]
    for folder in folders if options.panes else []:
        # Step by step, the events of `distinct` take longer than all others.
        if folder not in seeds[options.panes :] and folder.name != "distinct":
            replay(options.aqueduct, folder, "panes.ndjson")
    environment = dict(
        os.environ,
        AQUEDUCT_MAIN="aqueduct.beam.Cases",
        AQUEDUCT_CLASSES=str(HERE / "target/test-classes"),
        # Optimising the code takes longer than running it on so few events.
        AQUEDUCT_JAVA_OPTIONS="-XX:TieredStopAtLevel=1",
    )
    beam = subprocess.run(
        [HERE / "run", options.work, f"--runner={options.runner}", "--parallelism=1"],
        env=environment)
    if beam.returncode != 0:
        sys.exit(beam.returncode)
    failed, totals = 0, collections.Counter()
    for folder in folders:
        final, fired, wrong = differences(folder, expected[folder])
        totals.update(rows=final, panes=fired, streams=fired > 0)
        failed += bool(wrong)
        if wrong:
            print(f"{folder.name}:", *wrong[:20], sep="\n")
    print(f"{totals['rows']} rows of {len(folders)} cases, {totals['panes']} panes of {totals['streams']} streams, "
        f"on {options.runner}\n{len(folders) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
