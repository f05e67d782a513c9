"""Running one command in a process group of its own, to its end, whatever signals come.

The group gets the terminal while it runs, so that Ctrl-C reaches the command as if it had been started alone. A
signal to this program is passed on; what the command leaves behind in its group is ended with it.
"""

import os
import signal
import subprocess
import time
from contextlib import contextmanager

import process
import signals
from layout import Fail, say

GRACE_SECONDS = 20.0


def run(argv: list, variables: dict) -> int:
    """The command's exit code as in a shell; 128 + signal if this program was interrupted."""
    child = None
    try:
        with signals.held():
            child = _spawn(argv, variables)
        with _terminal_for(child.pid):
            return _wait(child.pid)
    except signals.Interrupted as interrupt:
        if child:
            _pass_on(child.pid, interrupt.signum)
        return 128 + interrupt.signum
    finally:
        if child:
            _end_group(child.pid)
            # Waited for above, or never to be: Popen must not ask about a pid that may be another's by now.
            child.returncode = 0


def _spawn(argv: list, variables: dict) -> subprocess.Popen:
    try:
        return subprocess.Popen(argv, env={**os.environ, **variables}, process_group=0)
    except OSError as error:
        raise Fail(f"{argv[0]} cannot be started: {error.strerror}") from error


def _wait(pid: int) -> int:
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code
        # Ctrl-Z: a suspended command with running services is useless, and the shell would not notice it.
        if os.isatty(0):
            process.signal_group(pid, signal.SIGCONT)


def _pass_on(pid: int, signum: int) -> None:
    """To the whole group, then waits for its leader; a second signal ends the patience."""
    process.signal_group(pid, signum)
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        while time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            time.sleep(0.05)
        say(f"the command is still there {GRACE_SECONDS:.0f} s after the signal: killing it")
    except ChildProcessError:
        return
    except signals.Interrupted:
        say("second signal: killing the command")


def _end_group(leader: int) -> None:
    with signals.held():
        process.signal_group(leader, signal.SIGKILL)
        try:
            os.waitpid(leader, 0)
        except ChildProcessError:
            pass


@contextmanager
def _terminal_for(group: int):
    """Makes `group` the terminal's foreground group, where there is a terminal and it is ours to give."""
    if not os.isatty(0) or os.tcgetpgrp(0) != os.getpgrp():
        yield
        return
    # Taking the terminal back from the background would stop this program.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, group)
    # It may have asked for input before it had the terminal, and been stopped for it.
    process.signal_group(group, signal.SIGCONT)
    try:
        yield
    finally:
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, before)
