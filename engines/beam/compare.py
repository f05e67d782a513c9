"""The final rows of `engines/beam` on Flink against those of `aqueduct replay --final`: of the examples and of random cases.

Both read the same anonymised events. Rows are compared as they are written, so numbers have to be the same to the last
digit; only the columns from `pane` on differ, as a bounded pipeline fires each window once.
"""

import argparse
import collections
import os
import pathlib
import shutil
import subprocess
import sys

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
    shutil.copy(source / "aqueduct.toml", folder)
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


def replay(aqueduct, folder):
    names = [name.split("=") for name in (folder / "files.txt").read_text().split()]
    files = [f"{topic}={folder / file}" for topic, file in names]
    config = ["--config", folder / "aqueduct.toml"]
    command = [aqueduct, "replay", "--anonymised", "--final", *config, "--output", folder / "replay.ndjson", *files]
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True)
    # With nothing but rejects there is no output, which Beam's is compared with all the same.
    if done.returncode != 0 and "records were rejected" not in done.stderr:
        sys.exit(f"{folder}: {done.stderr}")
    (folder / "replay.ndjson").touch()
    return ledgers_of(done.stderr)


def ledgers_of(report):
    """What was rejected, and the outcomes of each flow."""
    return [line for line in report.splitlines() if line.startswith("flow ")]


def rows(path):
    lines = path.read_text().splitlines()
    return collections.Counter(line[: line.rindex(',"pane":')] for line in lines)


def difference(folder):
    ours, theirs = rows(folder / "replay.ndjson"), rows(folder / "beam.ndjson")
    wrong = [f"  only replay: {row}" for row in sorted((ours - theirs).elements())]
    wrong += [f"  only Beam:   {row}" for row in sorted((theirs - ours).elements())]
    return ours.total(), wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aqueduct", type=pathlib.Path, default=ROOT / "target/debug/aqueduct")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/beam/compare")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--runner", default="FlinkRunner")
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.parent.mkdir(parents=True, exist_ok=True)
    prepare(options.aqueduct, options.work, options.cases, options.first)
    folders = sorted(options.work.iterdir())
    expected = {folder: replay(options.aqueduct, folder) for folder in folders}
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
    passed, failed, total = 0, 0, 0
    for folder in folders:
        count, wrong = difference(folder)
        total += count
        ledgers = ledgers_of((folder / "beam.txt").read_text())
        if ledgers != expected[folder]:
            wrong += [f"  replay: {line}" for line in expected[folder]] + [f"  Beam:   {line}" for line in ledgers]
        passed, failed = passed + (not wrong), failed + bool(wrong)
        if wrong:
            print(f"{folder.name}:", *wrong[:20], sep="\n")
    print(f"{total} rows of {len(folders)} cases on {options.runner}\n{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
