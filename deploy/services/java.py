"""Java and Maven, which Kafka and the registry need."""

import re
import shutil
import subprocess
from pathlib import Path

import fetched
from layout import Fail

INSTALL = "Debian: apt-get install default-jre-headless"


def missing(folder: Path, pins: str) -> list:
    """What the system lacks to fetch and run the service in this folder, one line each."""
    lines = []
    if not shutil.which("java"):
        lines.append(f"java is missing: install Java 17 or newer ({INSTALL})")
    if not shutil.which("mvn") and not fetched.is_current(folder, pins):
        lines.append("mvn is missing: install Maven (Debian: apt-get install maven)")
    return lines


def check_version(what: str) -> None:
    """Fails if Java is too old."""
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', answer)
    if not found or int(found[1]) < 17:
        version = found[1] if found else "unknown"
        raise Fail(f"java is version {version}, {what} needs 17 or newer ({INSTALL})")
