"""Our decoder, the program `transcode` of this folder's crate."""

import json
import subprocess
import sys
from pathlib import Path

import environment

BINARY = environment.TARGET / "debug" / "transcode"


def transcode(binary: Path, work: list) -> list:
    """What our decoder answers to each piece of work; see src/main.rs."""
    lines = "".join(json.dumps(line) + "\n" for line in work)
    try:
        ran = subprocess.run([binary], input=lines, check=True, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        sys.exit(f"formats: {binary} does not exist: cargo build --workspace --all-targets --locked")
    # Not by all that Unicode calls a line: strings contain it.
    return [json.loads(line) for line in ran.stdout.split("\n")[:-1]]
