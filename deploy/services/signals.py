"""Signals as exceptions: Ctrl-C, SIGTERM and a closed terminal all unwind through `finally`, so that whatever was
started is stopped. Inside `held()` a signal waits: between starting a process and writing its pid down nothing
may come. What is done about a signal is the caller's business.
"""

import signal
from contextlib import contextmanager

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_holds = 0
_pending = None


class Interrupted(BaseException):
    """The signal that came."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def install() -> None:
    """From now on the signals in `CAUGHT` raise `Interrupted` in the main thread."""
    for signum in CAUGHT:
        signal.signal(signum, _on_signal)


@contextmanager
def held():
    """A signal that comes inside is raised at the end; nested uses count."""
    global _holds
    _holds += 1
    try:
        yield
    finally:
        _holds -= 1
    _raise_pending()


def _on_signal(signum, _frame) -> None:
    global _pending
    _pending = signum
    _raise_pending()


def _raise_pending() -> None:
    global _pending
    if _pending is not None and _holds == 0:
        signum, _pending = _pending, None
        raise Interrupted(signum)
