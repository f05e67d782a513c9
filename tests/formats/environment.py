"""The Python packages of this folder's scripts, in a virtual environment under target/formats."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or HERE.parent.parent / "target").resolve()
FOLDER = TARGET / "formats"
PYTHON = FOLDER / "venv" / "bin" / "python"
REQUIREMENTS = HERE / "requirements.txt"
STAMP = FOLDER / "stamp"
# A registry that hangs must not hang the tests.
INSTALL_SECONDS = 600


def enter(script: str) -> None:
    """Runs the script again with exactly the pinned packages, unless it has them."""
    if Path(sys.prefix) == FOLDER / "venv":
        return
    _install()
    os.execv(PYTHON, [str(PYTHON), str(Path(script).resolve()), *sys.argv[1:]])


def _install() -> None:
    pins = REQUIREMENTS.read_text()
    if STAMP.exists() and STAMP.read_text() == pins:
        return
    if sys.version_info < (3, 11):
        sys.exit("formats: python3 is older than 3.11: install a newer one")
    print(f"formats: installing packages into {FOLDER / 'venv'}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    STAMP.unlink(missing_ok=True)
    pip = [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER / "venv"], check=True, timeout=INSTALL_SECONDS)
        subprocess.run([*pip, "-r", REQUIREMENTS], check=True, timeout=INSTALL_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"formats: the packages could not be installed: {failure}; Debian needs python3-venv")
    STAMP.write_text(pins)
