"""The same services as Docker containers. Only the `docker` command is used; a container is known by its name, which
holds this checkout's own mark, so that two checkouts never stop each other's.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

import bigquery
import fetched
from layout import HERE, ROOT, Fail, say

PREFIX = "aqueduct-services-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]


def missing() -> list:
    if not shutil.which("docker"):
        return ["docker is missing: install Docker, or leave --docker out"]
    if _docker("version", "--format", "{{.Server.Version}}").returncode != 0:
        return ["no Docker engine answers: start Docker, or leave --docker out to start the services natively"]
    return []


def fetch(service) -> None:
    """Pulls the image, or builds ours; Docker keeps both."""
    image = service.container(dict.fromkeys(service.PORTS, 0))[1]
    if _docker("image", "inspect", image).returncode == 0:
        return
    if service is bigquery:
        say(f"{service.NAME}: building {image}")
        fetched.run(
            ["docker", "build", "-q", "-t", image, "-f", bigquery.DOCKERFILE, HERE], f"docker could not build {image}"
        )
    else:
        say(f"{service.NAME}: pulling {image}")
        fetched.run(["docker", "pull", "-q", image], f"docker could not pull {image}")


def start(service, ports: dict) -> str:
    """The name of the new container; its ports are published on 127.0.0.1 under the same numbers."""
    name = f"{PREFIX}-{service.NAME}"
    options, image, arguments = service.container(ports)
    published = [word for port in ports.values() for word in ("-p", f"127.0.0.1:{port}:{port}")]
    # Left over from a command that was killed: nothing in state.json knows it any more.
    remove(name)
    done = _docker("run", "-d", "--no-healthcheck", "--name", name, *published, *options, image, *arguments)
    if done.returncode != 0:
        raise Fail(f"{service.NAME}: docker could not start {image}: {done.stderr.strip()}")
    return name


def alive(name: str) -> bool:
    return _docker("inspect", "-f", "{{.State.Running}}", name).stdout.strip() == "true"


def save_log(name: str, log: Path) -> None:
    """A container's log goes with it, so it is written down before."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        subprocess.run(["docker", "logs", name], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def remove(name: str) -> None:
    _docker("rm", "-f", "-v", name)


def _docker(*arguments: str) -> subprocess.CompletedProcess:
    words = ["docker", *(str(argument) for argument in arguments)]
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
