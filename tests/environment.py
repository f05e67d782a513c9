"""Virtual environments of the tests' scripts: the packages that `requirements.txt` beside a script pins."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
# An installation takes half a minute; a package index that hangs must not hang the tests.
INSTALL_SECONDS = 600


def enter(script: str) -> None:
    """Runs the script again with exactly the packages of its folder, unless it has them.

    The environment is `target/FOLDER/venv`, for scripts in a folder of that name.
    """
    script = Path(script).resolve()
    name = script.parent.name
    environment = TARGET / name / "venv"
    if Path(sys.prefix) == environment:
        return
    _install(environment, name, script.parent / "requirements.txt")
    python = environment / "bin" / "python"
    os.execv(python, [str(python), str(script), *sys.argv[1:]])


def _install(environment: Path, name: str, requirements: Path) -> None:
    pins, stamp = requirements.read_text(), environment.parent / "stamp"
    if stamp.exists() and stamp.read_text() == pins:
        return
    if sys.version_info < (3, 11):
        sys.exit(f"{name}: python3 is older than 3.11: install a newer one")
    print(f"{name}: installing packages into {environment}", flush=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    python = environment / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True, timeout=INSTALL_SECONDS)
        subprocess.run([*pip, "-r", requirements], check=True, timeout=INSTALL_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"{name}: the packages could not be installed: {failure}; Debian needs python3-venv")
    stamp.write_text(pins)
