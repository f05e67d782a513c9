"""Google's Pub/Sub emulator: the jar that comes with the Google Cloud SDK, or the SDK's container image.

It keeps every message in memory, acknowledged ones too (about 1.6 KB for a click event): half of the machine's memory is
its heap at most, which holds a few million messages. The SDK is a system package, which is looked for and never installed.
"""

import shutil
import subprocess
from pathlib import Path

import http_probe
from layout import HERE, PROJECT, TARGET, Fail
from process import Command

NAME = "pubsub"
PORTS = ("grpc",)
IMAGE = "google/cloud-sdk:528.0.0-emulators"
FOUND = TARGET / "pubsub" / "jar"
PATCH = HERE / "patch" / "io" / "grpc" / "InternalStatus.java"
CLASSES = TARGET / "pubsub" / "classes"
MAIN = "com.google.cloud.pubsub.testing.v1.Main"
INSTALL = (
    "install it (Debian, with Google's package source: apt-get install google-cloud-cli-pubsub-emulator; "
    "else: gcloud components install pubsub-emulator)"
)


def missing() -> list:
    if not shutil.which("java"):
        return ["java is missing: install Java 17 or newer (Debian: apt-get install default-jre-headless)"]
    if _found():
        return []
    if not shutil.which("gcloud"):
        return [f"gcloud, which has Google's Pub/Sub emulator, is missing: {INSTALL}"]
    return [] if _look_for() else [f"Google's Pub/Sub emulator is missing: {INSTALL}"]


def fetch() -> None:
    """Nothing to download: remembers where the jar is, as asking gcloud takes a second."""
    jar = _found() or _look_for()
    if not jar:
        raise Fail(f"Google's Pub/Sub emulator is missing: {INSTALL}")
    FOUND.parent.mkdir(parents=True, exist_ok=True)
    FOUND.write_text(f"{jar}\n")
    if shutil.which("javac") and not CLASSES.is_dir():
        # Without a compiler the emulator runs as it is: a restarted subscriber then waits for old leases to end.
        subprocess.run(["javac", "-cp", jar, "-d", CLASSES, PATCH], check=True)


def native(ports: dict, data: Path) -> Command:
    java = ["java", "-Xms128m", "-XX:MaxRAMPercentage=50", "-cp", f"{CLASSES}:{_found()}"]
    return Command(
        argv=[*java, MAIN, "--host=127.0.0.1", f"--port={ports['grpc']}"],
        env={},
        folder=data,
    )


def container(ports: dict) -> tuple:
    start = ["gcloud", "beta", "emulators", "pubsub", "start"]
    return [], IMAGE, [*start, f"--project={PROJECT}", f"--host-port=0.0.0.0:{ports['grpc']}"]


def probe(ports: dict) -> None:
    """Lists topics over REST, which the emulator serves on its gRPC port."""
    http_probe.answers(f"http://127.0.0.1:{ports['grpc']}/v1/projects/{PROJECT}/topics")
    http_probe.speaks_http2(ports["grpc"])


def prepare(_ports: dict) -> None:
    """Nothing: `aqueduct setup` makes what the pipe needs."""


def environment(ports: dict) -> dict:
    return {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{ports['grpc']}"}


def _found():
    """The jar where it was last time, if it still is."""
    try:
        jar = Path(FOUND.read_text().strip())
    except FileNotFoundError:
        return None
    return jar if jar.is_file() else None


def _look_for():
    asked = ["gcloud", "info", "--format=value(installation.sdk_root)"]
    root = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    jars = Path(root, "platform", "pubsub-emulator", "lib").glob("cloud-pubsub-emulator-*-all.jar") if root else []
    return max(jars, default=None)
