"""Processes that outlive the command that started them.

A service gets a session of its own, so that Ctrl-C in the terminal does not reach it and one signal to its group
ends it with all its children. A pid alone is not trusted: pids are used again, so a process is known by its pid and
the moment it started, and nothing else is ever signalled.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """One process, never another that got its pid later."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Identity":
        """Of a process that is alive, or a child that was not waited for."""
        return cls(pid, _start_mark(pid, zombies=True) or "gone")

    def alive(self) -> bool:
        return _start_mark(self.pid) == self.started


@dataclass(frozen=True)
class Command:
    """What to run for a service."""

    argv: list
    env: dict
    folder: Path


def spawn(command: Command, log: Path) -> subprocess.Popen:
    """Starts it in its own session, both outputs into `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        return subprocess.Popen(
            [str(word) for word in command.argv],
            env={**os.environ, **command.env},
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(processes: list, grace_seconds: float = 10.0) -> None:
    """SIGTERM to the groups of all of them, SIGKILL to those that are still there after the grace."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.alive():
                signal_group(process.pid, signum)
        deadline = time.monotonic() + grace_seconds
        while any(process.alive() for process in processes) and time.monotonic() < deadline:
            time.sleep(0.05)


def signal_group(leader: int, signum: int) -> None:
    """To the group that `leader` leads; nothing happens when it is gone."""
    try:
        os.killpg(leader, signum)
    except ProcessLookupError:
        pass


def _start_mark(pid: int, zombies: bool = False):
    """When the process started, as text to compare; None when there is none (a zombie counts as none)."""
    try:
        # The name in brackets may hold anything: the fields are counted from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except ProcessLookupError:
        return None
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _start_mark_by_ps(pid, zombies)
    state, start_ticks = fields[0], fields[19]
    if state in "ZX" and not zombies:
        return None
    return f"{boot}/{start_ticks}"


def _start_mark_by_ps(pid: int, zombies: bool):
    """The same where there is no /proc."""
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, started = answer.stdout.strip().partition(" ")
    if not state or (state.startswith("Z") and not zombies):
        return None
    return started.strip()
