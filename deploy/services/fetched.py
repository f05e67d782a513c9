"""Downloads that are kept between runs: a folder is current when its stamp holds the hash of the pins it was made
from, and the stamp is written last, so that an interrupted download is simply done again.
"""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

from layout import LOGS, Fail, say, shown

STAMP = "stamp"


def is_current(folder: Path, pins: str) -> bool:
    try:
        return (folder / STAMP).read_text().strip() == pins
    except FileNotFoundError:
        return False


@contextmanager
def renewed(folder: Path, pins: str):
    """Yields whether the folder has to be filled (it is empty then); stamps it when that went well."""
    if is_current(folder, pins):
        yield False
        return
    say(f"{folder.name}: fetching into {shown(folder)}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield True
    (folder / STAMP).write_text(pins + "\n")


def run(argv: list, failure: str, env=None) -> None:
    """One step of a download; when it fails its last lines are shown and all of them are in a log."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / "fetch.log"
    log.write_bytes(done.stdout)
    tail = "\n".join(done.stdout.decode(errors="replace").splitlines()[-20:])
    raise Fail(f"{tail}\n{failure} (exit code {done.returncode}); all of it is in {shown(log)}")
