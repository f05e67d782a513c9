"""Apicurio Registry 2.6, which has the HTTP interface of Confluent's schema registry, natively or as a container.

It keeps its schemas in a file, so that a restarted one has the same IDs. It has no GUIDs and no credentials: tests use a
stand-in for those.
"""

import hashlib
import os
import tarfile
from pathlib import Path

import fetched
import http_probe
import java
from layout import TARGET, Fail
from process import Command

NAME = "registry"
PORTS = ("http",)
VERSION = "2.6.13.Final"
IMAGE = f"apicurio/apicurio-registry-mem:{VERSION}"
FOLDER = TARGET / "registry"
JAR = FOLDER / f"apicurio-registry-app-{VERSION}-runner.jar"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
SHA256 = "3cda1b34aa020fb4ac4dd6a66018d757e81e437f97e20a1f92d366b70091c6ba"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
# Where the interface of Confluent's registry is.
PATH = "/apis/ccompat/v7"


def missing() -> list:
    """What the system lacks, one line each."""
    return java.missing(FOLDER, _pins())


def fetch() -> None:
    """The distribution through Maven, checked and unpacked."""
    with fetched.renewed(FOLDER, _pins()) as stale:
        if not stale:
            return
        java.check_version("Apicurio Registry 2.6")
        fetched.run(
            ["mvn", "-B", "-q", COPY, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={FOLDER}"],
            "Maven could not copy Apicurio Registry",
        )
        (archive,) = FOLDER.glob("*.tar.gz")
        unpack(archive, SHA256, FOLDER)
        archive.unlink()


def unpack(archive: Path, sha256: str, folder: Path) -> None:
    """Only what it was when it was pinned is unpacked, and only into `folder`."""
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise Fail(f"{archive.name} has the SHA-256 {found}, not {sha256}: it was changed since it was pinned")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")


def native(ports: dict, data: Path) -> Command:
    # The optimising compiler takes half of the time of a start.
    command = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return Command(
        argv=[*command, "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={ports['http']}", "-jar", JAR],
        env={"REGISTRY_DATASOURCE_URL": f"jdbc:h2:file:{data}/registry"},
        folder=data,
    )


def container(ports: dict) -> tuple:
    return ["-e", f"QUARKUS_HTTP_PORT={ports['http']}"], IMAGE, []


def probe(ports: dict) -> None:
    http_probe.answers(f"http://127.0.0.1:{ports['http']}{PATH}/subjects")


def prepare(_ports: dict) -> None:
    """Nothing: producers register their schemas."""


def environment(ports: dict) -> dict:
    return {
        "SCHEMA_REGISTRY": f"http://127.0.0.1:{ports['http']}{PATH}",
        # For a test that wants one of its own, to kill it.
        "SCHEMA_REGISTRY_JAR": os.fspath(JAR),
    }


def _pins() -> str:
    return hashlib.sha256("".join((COPY, ARTIFACT, SHA256)).encode()).hexdigest()
