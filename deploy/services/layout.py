"""The paths, and the one error that ends a command with a line instead of a trace.

Everything downloaded or written stays under target/services; the data of running services is in a temporary
folder that `stop` removes. No logic here.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve() / "services"
LOGS = TARGET / "logs"
STATE_FILE = TARGET / "state.json"
LOCK_FILE = TARGET / "lock"
ENV_FILE = TARGET / "env"
CONFIG_FILE = TARGET / "aqueduct.toml"

# The project of the emulators; Google's needs six characters or more.
PROJECT = "aqueduct-local"


class Fail(Exception):
    """An error that the user can correct: printed without a stack trace."""


def say(line: str) -> None:
    """One line of progress, at once, on standard error: standard output belongs to the command of `run`."""
    print(line, file=sys.stderr, flush=True)


def shown(path: Path) -> str:
    """A path as a person in the current folder would type it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
