#!/usr/bin/env python3
"""Follows the documents word by word: runs their code blocks and compares the output that they show.

    python3 deploy/services/services.py run --only kafka,pubsub -- python3 tests/documents/follow.py

Needs `target/debug/aqueduct` (or $AQUEDUCT, the path of a binary). The pipeline on one machine needs Kafka and the
Pub/Sub emulator, whose addresses `services.py run` puts into the environment. Standard library only.
"""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("AQUEDUCT", ROOT / "target/debug/aqueduct"))
PROGRAMS = ("aqueduct", "sqlite3")
# A pipeline that waits for the next minute, and then for half a minute, would take longer than the rest of the tests.
SOONER = {
    "AQUEDUCT__FLOWS__0__WINDOW": '{ size = "10s", period = "1s" }',
    "AQUEDUCT__FLOWS__0__OUT_OF_ORDERNESS": "1s",
    "AQUEDUCT__STATE__IDLE_AFTER": "1s",
    "AQUEDUCT__STATE__PERIOD": "1s",
}
PATIENCE = 90


class Document:
    """A Markdown file."""

    def __init__(self, name):
        self.text = (ROOT / name).read_text()

    def section(self, title):
        """The text below a heading, up to the next one of the same or a higher level."""
        found = re.search(rf"^(#+) {re.escape(title)}$", self.text, re.MULTILINE)
        assert found, f"no section {title!r}"
        rest = self.text[found.end() :]
        end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
        return rest[: end.start()] if end else rest


def toml(text):
    """The first TOML block of a text."""
    return re.search(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]


def indented(text):
    """The indented blocks of a text, each as a list of lines."""
    blocks, block = [], []
    for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        if line.startswith("    "):
            block.append(line[4:])
        elif block:
            blocks.append(block)
            block = []
    return blocks + [block] if block else blocks


def commands(text):
    """The lines of the indented blocks that call one of our programs."""
    lines = [line.removeprefix("$ ") for block in indented(text) for line in block]
    return [line for line in lines if line.split(" ")[0] in PROGRAMS]


def words(text):
    """A text as lines of words, so that the width of columns does not matter."""
    return [line.split() for line in text.splitlines() if line.strip()]


class Place:
    """A folder in which commands run as in a terminal."""

    def __init__(self, folder, **variables):
        self.folder = pathlib.Path(folder)
        programs = self.folder / ".programs"
        programs.mkdir()
        (programs / "aqueduct").symlink_to(BINARY)
        path = f"{programs}:{os.environ['PATH']}"
        self.environment = {**os.environ, **variables, "PATH": path}
        self.environment.pop("AQUEDUCT_CONFIG", None)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def run(self, line):
        """Runs a line; returns standard output and standard error together."""
        if line.startswith("sqlite3 "):
            return self.query(line)
        ran = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{line}\nexit code {ran.returncode}\n{ran.stdout}"
        return ran.stdout

    def query(self, line):
        """What `sqlite3 -column -header FILE QUERY` prints, without the need to install it."""
        *options, file, query = shlex.split(line)[1:]
        assert set(options) <= {"-column", "-header"}, line
        with contextlib.closing(sqlite3.connect(self.folder / file)) as database:
            cursor = database.execute(query)
            names = [column[0] for column in cursor.description]
            rows = [["" if value is None else str(value) for value in row] for row in cursor]
        return "\n".join(" ".join(row) for row in [names, ["-" for _ in names], *rows] if rows)

    @contextlib.contextmanager
    def started(self, line):
        """Runs a line beside the others, and stops it as Ctrl-C does."""
        log = self.folder / (line.replace(" ", "-") + ".log")
        with log.open("w") as output:
            process = subprocess.Popen(
                line.split(), cwd=self.folder, env=self.environment, stdout=output, stderr=output
            )
        try:
            yield process
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0, f"{line}\n{log.read_text()}"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


class Follow(unittest.TestCase):
    """One test for each way through the documents."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="aqueduct-documents-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def shows(self, text, place):
        """Runs each command of a text, and compares its output where the text shows it."""
        for block in indented(text):
            if block[0].startswith("$ "):
                for shown in re.split(r"^\$ ", "\n".join(block), flags=re.MULTILINE)[1:]:
                    line, _, expected = shown.partition("\n")
                    self.alike(place.run(line), expected)
            elif block[0].split(" ")[0] in PROGRAMS:
                output = [place.run(line) for line in block if line.split(" ")[0] in PROGRAMS][-1]
            elif block[0].startswith(("page", "{")) and "output" in locals() and "----" in block[1]:
                self.alike(output, "\n".join(block))

    def alike(self, output, shown):
        """Compares everything but rulers and times that differ from run to run."""
        def lines(text):
            changing = r"in [0-9.]+ s \([0-9]+ events/s\)"
            return [line for line in words(re.sub(changing, "", text)) if not set("".join(line)) <= {"-"}]

        self.assertEqual(lines(output), lines(shown))

    def test_the_readme(self):
        section = Document("README.md").section("Use it")
        place = Place(self.folder)
        place.write("aqueduct.toml", toml(section))
        lines = commands(section)
        self.assertGreaterEqual(len(lines), 5)
        for line in lines:
            place.run(line)
        self.assertTrue((place.folder / "rows.ndjson").read_text())

    def test_the_examples(self):
        place = Place(self.folder)
        ignored = shutil.ignore_patterns("keys.toml")
        shutil.copytree(ROOT / "examples", place.folder / "examples", ignore=ignored)
        for readme in sorted((ROOT / "examples").glob("*/README.md")):
            lines = commands(Document(readme).text)
            self.assertTrue(any("replay" in line for line in lines), readme)
            for line in lines:
                place.run(line)

    def test_the_panes_of_the_concepts(self):
        section = Document("docs/concepts.md").section("Windows and panes")
        place = Place(self.folder)
        place.write("aqueduct.toml", toml(section))
        events = next(block for block in indented(section) if block[0].startswith("{"))
        place.write("events.ndjson", "\n".join(events) + "\n")
        self.shows(section, place)

    def test_the_join_of_the_flows(self):
        place = Place(self.folder)
        ignored = shutil.ignore_patterns("keys.toml")
        shutil.copytree(ROOT / "examples", place.folder / "examples", ignore=ignored)
        self.shows(Document("docs/flows.md").section("Joins"), place)

    def test_the_measures_and_sessions_of_the_flows(self):
        for title in ("Measures", "Sessions"):
            with self.subTest(title), tempfile.TemporaryDirectory(prefix="aqueduct-documents-") as folder:
                section = Document("docs/flows.md").section(title)
                place = Place(folder)
                place.write("aqueduct.toml", toml(section))
                events = next(block for block in indented(section) if block[0].startswith("{"))
                place.write("events.ndjson", "\n".join(events) + "\n")
                self.shows(section, place)

    @unittest.skipUnless("KAFKA_BOOTSTRAP" in os.environ, "services.py run starts Kafka and the emulator")
    def test_the_pipeline_on_one_machine(self):
        section = Document("docs/getting-started.md").section("On one machine")
        # Names of its own, as the services may have been used before.
        own = f"documents-{os.getpid()}"
        names = {
            "AQUEDUCT__KAFKA__GROUP_ID": own,
            "AQUEDUCT__PUBSUB__TOPIC": own,
            "AQUEDUCT__PUBSUB__SUBSCRIPTION": f"{own}-ctr",
            "AQUEDUCT__FLOWS__0__EARLY": "5s",
        }
        place = Place(self.folder, **SOONER, **names)
        place.write("aqueduct.toml", toml(section))
        lines = iter(commands(section))
        expected = iter(["keys new", "setup", "check", "connector", "processor", "generate", "SELECT", "status"])

        def following():
            line = next(lines)
            self.assertIn(next(expected), line)
            return line

        for _ in range(3):
            place.run(following())
        with place.started(following()), place.started(following()):
            place.run(following().replace("--duration 2m", "--duration 15s"))
            query, deadline = following(), time.monotonic() + PATIENCE
            while not place.run(query):
                self.assertLess(time.monotonic(), deadline, "no complete window")
                time.sleep(0.5)
            status, deadline = following(), time.monotonic() + PATIENCE
            while "all offsets are committed" not in (shown := place.run(status)):
                self.assertLess(time.monotonic(), deadline, shown)
                time.sleep(0.5)
        self.assertIn("nothing is missing", place.run(next(lines)))
        self.assertEqual(list(lines), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
