"""What runs: target/services/state.json, read and written under one lock.

Several commands may use the same services at once. Each `run` enters itself as a user; services that `start` left
running are `kept`. The last user stops what is not kept. See fleet.py for starting services.
"""

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from layout import LOCK_FILE, STATE_FILE, TARGET, say, shown
from process import Identity


@dataclass
class Running:
    """One service that was started: a process, or a container when `container` is set."""

    ports: dict
    log: str
    kept: bool = False
    pid: int = 0
    started: str = ""
    container: str = ""

    def identity(self) -> Identity:
        return Identity(self.pid, self.started)


@dataclass
class State:
    services: dict = field(default_factory=dict)
    users: list = field(default_factory=list)
    scratch: str = ""

    def save(self) -> None:
        TARGET.mkdir(parents=True, exist_ok=True)
        fresh = STATE_FILE.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        fresh.replace(STATE_FILE)

    def enter(self) -> None:
        """This process uses the services from now on."""
        me = Identity.of(os.getpid())
        self.users = [user for user in self.users if user.alive()] + [me]

    def leave(self) -> None:
        self.users = [user for user in self.users if user.alive() and user.pid != os.getpid()]

    def open_scratch(self) -> None:
        """Makes the temporary folder of everything that runs, unless it is there."""
        if not self.scratch or not Path(self.scratch).is_dir():
            self.scratch = tempfile.mkdtemp(prefix="aqueduct-services-")

    def scratch_folder(self, name: str) -> Path:
        """A new empty folder in it."""
        folder = Path(self.scratch, name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def drop_scratch(self, name: str = "") -> None:
        """The folder of one service, or all of it."""
        if self.scratch:
            shutil.rmtree(Path(self.scratch, name), ignore_errors=True)
        if not name:
            self.scratch = ""


def load() -> State:
    """As last saved; empty when there is nothing, or nothing readable."""
    try:
        raw = json.loads(STATE_FILE.read_text())
        return State(
            services={name: Running(**entry) for name, entry in raw["services"].items()},
            users=[Identity(**user) for user in raw["users"]],
            scratch=raw["scratch"],
        )
    except FileNotFoundError:
        return State()
    except (ValueError, KeyError, TypeError) as error:
        say(f"{shown(STATE_FILE)} cannot be read ({error}): taken as empty")
        return State()


@contextmanager
def locked():
    """Only one command at a time changes what runs; another one waits and says so."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with open(LOCK_FILE, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is starting or stopping the services: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
