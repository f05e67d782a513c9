"""What `aqueduct reconcile --engine beam` finds in the files of a pipeline, and in copies of them that lack a line."""

import json
import shutil
import subprocess

from compare import wait
from pipe import Failed


def reconciled(pipe):
    """Whether nothing is missing in the end, and something is without any one line."""
    # Each reader reports once a minute, and the first one's report becomes a row with the last ones of the others.
    missing, _ = wait(pipe, 150, lambda: (report(pipe, pipe.output), None))
    unnoticed = [] if missing else [line for line in without_a_line(pipe) if line]
    for line in [*missing, *unnoticed]:
        print(line, flush=True)
    return not missing and not unnoticed


def report(pipe, output=None):
    """The lines of the report, none if nothing is missing. Without a folder, rows are where the writers have them."""
    command = pipe.command("reconcile", "--engine", "beam", *(["--rows", output] if output else []))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=pipe.log, text=True, timeout=300)
    if done.returncode not in (0, 1):
        raise Failed(f"reconcile ended with {done.returncode}; see {pipe.folder / 'log'}")
    return done.stdout.splitlines() if done.returncode else []


def without_a_line(pipe):
    """Removes the newest line of each kind, and says for which of them nothing was missing."""
    for kind, key in {"rows": "emitted_at", "dead_letters": "offset", "progress": "at"}.items():
        copy = pipe.folder / "without"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(pipe.output, copy)
        gone = remove(copy / kind, key)
        lines = report(pipe, copy)
        if lines:
            print(f"{pipe.folder.name}: without a line of {kind}: {lines[-1]}", flush=True)
        yield "" if lines else f"  reconcile does not miss {gone}"


def remove(folder, key):
    """Removes the line with the highest key, with those that are the same in all but their time."""
    files = [(file, file.read_text().splitlines()) for file in folder.glob("*.ndjson")]
    gone = max((line for _, lines in files for line in lines), key=lambda line: json.loads(line)[key])
    for file, lines in files:
        file.write_text("".join(line + "\n" for line in lines if content(line) != content(gone)))
    return gone


def content(line):
    """What a line says; rows of progress say the same once everything is counted."""
    row = json.loads(line)
    return (row["flow"], row["detail"]) if "detail" in row else line
