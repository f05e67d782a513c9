"""bqemulator, a BigQuery emulator with the Storage Write API and its offsets, in a virtual environment of its own or
as an image built from bqemulator.Dockerfile. Its tables are in memory.
"""

import hashlib
import os
import sys
from pathlib import Path

import fetched
import http_probe
from layout import HERE, PROJECT, TARGET
from process import Command

NAME = "bigquery"
PORTS = ("rest", "grpc")
IMAGE = "aqueduct-bqemulator:1.4.0"
DOCKERFILE = HERE / "bqemulator.Dockerfile"
FOLDER = TARGET / "bq"
# DuckDB looks for its extensions in the home folder: the emulator gets one of its own.
HOME = FOLDER / "home"
REQUIREMENTS = HERE / "requirements.txt"
# Appends beside queries stop the emulator for good; this start puts them one after another.
SERIAL = HERE / "bqemulator_serial.py"
IMPORT_EXTENSIONS = "import duckdb_extensions as d; [d.import_extension(name) for name in ('spatial', 'avro')]"


def missing() -> list:
    if fetched.is_current(FOLDER, _pins()):
        return []
    if sys.version_info < (3, 11):
        return ["python3 is older than 3.11, which bqemulator needs: install a newer one"]
    try:
        import ensurepip  # noqa: F401  (Debian's python3 without python3-venv lacks it)
        import venv  # noqa: F401
    except ImportError:
        return ["python3 cannot make virtual environments: install venv (Debian: apt-get install python3-venv)"]
    return []


def fetch() -> None:
    with fetched.renewed(FOLDER, _pins()) as stale:
        if not stale:
            return
        python = FOLDER / "bin" / "python"
        fetched.run([sys.executable, "-m", "venv", FOLDER], "the virtual environment could not be made")
        fetched.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r", REQUIREMENTS],
            "pip could not install bqemulator",
        )
        HOME.mkdir()
        home = {**os.environ, "HOME": str(HOME)}
        fetched.run([python, "-c", IMPORT_EXTENSIONS], "DuckDB's extensions could not be imported", env=home)


def native(ports: dict, data: Path) -> Command:
    return Command(
        argv=[FOLDER / "bin" / "python", SERIAL, "start", *_options(ports)],
        env={"HOME": str(HOME), "PYTHONUNBUFFERED": "1"},
        folder=data,
    )


def container(ports: dict) -> tuple:
    return [], IMAGE, ["--rest-host", "0.0.0.0", "--grpc-host", "0.0.0.0", *_options(ports)]


def probe(ports: dict) -> None:
    http_probe.answers(f"http://127.0.0.1:{ports['rest']}/bigquery/v2/projects/{PROJECT}/datasets")
    http_probe.speaks_http2(ports["grpc"])


def prepare(_ports: dict) -> None:
    """Nothing: `aqueduct setup` makes what the pipe needs."""


def environment(ports: dict) -> dict:
    return {
        "BIGQUERY_REST": f"http://127.0.0.1:{ports['rest']}",
        "BIGQUERY_GRPC": f"http://127.0.0.1:{ports['grpc']}",
    }


def _options(ports: dict) -> list:
    return ["--rest-port", str(ports["rest"]), "--grpc-port", str(ports["grpc"]), "--project", PROJECT]


def _pins() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes() + IMPORT_EXTENSIONS.encode() + sys.version.encode()).hexdigest()
