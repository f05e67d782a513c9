"""Apache Kafka 4.1, one node that is broker and controller (KRaft), natively or as a container.

Topics are never made by accident (`auto.create.topics.enable=false`), transactions work, and groups do not wait for
members that will not come. The one topic of the ready aqueduct.toml is made here; tests make their own. Started natively
it has a listener `secured` too, with TLS and SCRAM.
"""

import hashlib
import shutil
import socket
import struct
from pathlib import Path

import fetched
import java
import tls
from layout import HERE, TARGET, Fail
from process import Command

NAME = "kafka"
# No server listens on `front`: clients of `behind` are redirected there, so that a test can add a proxy. Chaos runs beside
# such tests, and has a pair of its own.
PORTS = ("broker", "controller", "behind", "front", "chaos_behind", "chaos_front", "secured")
IMAGE = "apache/kafka:4.1.0"
FOLDER = TARGET / "kafka"
LIBS = FOLDER / "libs"
# A formatted, empty log folder: a start copies it, which is two seconds faster than formatting a new one.
BLANK = FOLDER / "blank"
SECRETS = FOLDER / "secrets"
# The one user of `secured`, and its password.
USER, PASSWORD = "aqueduct", "Tr0ub4dor-of-tests"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
POM = HERE / "pom.xml"
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
# Api keys of Kafka's protocol.
METADATA, CREATE_TOPICS = 3, 19
TOPIC, TOPIC_PARTITIONS = "events", 3
CLUSTER_ID = "YXF1ZWR1Y3QtbG9jYWwtMQ"


def missing() -> list:
    """What the system lacks, one line each."""
    return java.missing(FOLDER, _pins())


def fetch() -> None:
    """The jars through Maven, and the blank log folder."""
    with fetched.renewed(FOLDER, _pins()) as stale:
        if not stale:
            return
        java.check_version("Kafka 4.1")
        fetched.run(
            ["mvn", "-B", "-q", "-f", POM, COPY_DEPENDENCIES, f"-DoutputDirectory={LIBS}", "-DincludeScope=runtime"],
            "Maven could not copy Kafka's jars",
        )
        tls.make(SECRETS)
        (SECRETS / "user").write_text(USER)
        (SECRETS / "password").write_text(PASSWORD)
        settings = FOLDER / "blank.properties"
        _write_properties(settings, properties(dict(zip(PORTS, range(9092, 9092 + len(PORTS)))), BLANK))
        format_it = ["java", "-cp", f"{LIBS}/*", "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", settings]
        user = [word for name in SCRAM for word in ("--add-scram", f"{name}=[name={USER},password={PASSWORD}]")]
        fetched.run([*format_it, *user], "Kafka's log folder could not be formatted")


def native(ports: dict, data: Path) -> Command:
    if not (data / "logs").exists():
        shutil.copytree(BLANK, data / "logs")
    settings = data / "server.properties"
    _write_properties(settings, secured(properties(ports, data / "logs"), ports["secured"]))
    return Command(
        argv=[
            "java",
            "-Xms256m",
            "-Xmx1g",
            f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
            "-cp",
            f"{LIBS}/*",
            "kafka.Kafka",
            settings,
        ],
        env={},
        folder=data,
    )


def container(ports: dict) -> tuple:
    """Options and arguments for `docker run`. The image takes each property as KAFKA_<PROPERTY>."""
    settings = properties(ports, "/tmp/kraft-combined-logs", host="0.0.0.0")
    options = []
    for key, value in settings.items():
        options += ["-e", f"KAFKA_{key.upper().replace('.', '_')}={value}"]
    return options, IMAGE, []


def properties(ports: dict, logs, host: str = "127.0.0.1") -> dict:
    """The broker's settings. The advertised address is always 127.0.0.1."""
    clients = {
        "PLAINTEXT": ("broker", "broker"),
        "BEHIND": ("behind", "front"),
        "CHAOS": ("chaos_behind", "chaos_front"),
    }
    listeners = [f"{name}://{host}:{ports[own]}" for name, (own, _) in clients.items()]
    advertised = [f"{name}://127.0.0.1:{ports[front]}" for name, (_, front) in clients.items()]
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{ports['controller']}",
        "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{ports['controller']}"]),
        "advertised.listeners": ",".join(advertised),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in [*clients, "CONTROLLER"]),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": logs,
        "auto.create.topics.enable": "false",
        "file.delete.delay.ms": 1000,
        # Compacted topics are compacted before one's eyes.
        "log.cleaner.backoff.ms": 500,
        # One node: its internal topics have one replica and few partitions.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 3,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 3,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 3,
        "group.initial.rebalance.delay.ms": 0,
        # Tests of a dead member do not wait the default six seconds at least.
        "group.min.session.timeout.ms": 1000,
        # A busy machine is not a dead broker.
        "broker.session.timeout.ms": 60000,
    }


def secured(plain: dict, port: int) -> dict:
    """The settings with one listener more, which wants TLS and a user's password by SCRAM."""
    own = "listener.name.secured."
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return plain | {
        "listeners": f"{plain['listeners']},SECURED://127.0.0.1:{port}",
        "advertised.listeners": f"{plain['advertised.listeners']},SECURED://127.0.0.1:{port}",
        "listener.security.protocol.map": f"{plain['listener.security.protocol.map']},SECURED:SASL_SSL",
        f"{own}ssl.keystore.type": "PKCS12",
        f"{own}ssl.keystore.location": SECRETS / tls.BROKER,
        f"{own}ssl.keystore.password": tls.PASSWORD,
        f"{own}ssl.key.password": tls.PASSWORD,
        f"{own}sasl.enabled.mechanisms": ",".join(SCRAM),
    } | {f"{own}{name.lower()}.sasl.jaas.config": login for name in SCRAM}


def probe(ports: dict) -> None:
    """A Metadata request (version 1, no topics): the broker answers, and is itself in the answer once registered."""
    (brokers,) = struct.unpack_from(">i", _ask(ports, METADATA, 1, struct.pack(">i", 0), timeout_seconds=2))
    if brokers < 1:
        raise ConnectionError("answers, but the broker is not registered yet")


def prepare(ports: dict) -> None:
    """Makes the topic that the ready aqueduct.toml reads, by a CreateTopics request (version 4)."""
    name = TOPIC.encode()
    topic = struct.pack(f">h{len(name)}sihii", len(name), name, TOPIC_PARTITIONS, 1, 0, 0)
    timeout_ms, validate_only = 30_000, False
    answer = _ask(ports, CREATE_TOPICS, 4, struct.pack(">i", 1) + topic + struct.pack(">i?", timeout_ms, validate_only))
    _throttle, _topics, _name, error = struct.unpack_from(f">iih{len(name)}xh", answer)
    if error:
        raise Fail(f"kafka: topic {TOPIC} could not be made (Kafka's error code {error})")


def environment(ports: dict) -> dict:
    return {
        "KAFKA_BOOTSTRAP": f"127.0.0.1:{ports['broker']}",
        "KAFKA_BEHIND": f"127.0.0.1:{ports['behind']}",
        "KAFKA_FRONT": f"127.0.0.1:{ports['front']}",
        "KAFKA_CHAOS_BEHIND": f"127.0.0.1:{ports['chaos_behind']}",
        "KAFKA_CHAOS_FRONT": f"127.0.0.1:{ports['chaos_front']}",
        # For who wants it to be restarted.
        "KAFKA_SERVICES": str(HERE / "services.py"),
        "KAFKA_SECURED": f"127.0.0.1:{ports['secured']}",
        # What its clients need: authority.pem, and the user's name and password in files of their own.
        "KAFKA_SECRETS": str(SECRETS),
    }


def _ask(ports: dict, api: int, version: int, body: bytes, timeout_seconds: float = 30) -> bytes:
    """One request of Kafka's protocol and the body of its answer."""
    correlation, no_client_id = 1, -1
    request = struct.pack(">hhih", api, version, correlation, no_client_id) + body
    with socket.create_connection(("127.0.0.1", ports["broker"]), timeout=timeout_seconds) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:
            head = answer.read(8)
            if len(head) < 8:
                raise ConnectionError("closed the connection instead of answering")
            size, _correlation = struct.unpack(">ii", head)
            return answer.read(size - 4)


def _pins() -> str:
    made = (COPY_DEPENDENCIES, CLUSTER_ID, USER, PASSWORD, *SCRAM, Path(tls.__file__).read_text())
    return hashlib.sha256(POM.read_bytes() + "".join(made).encode()).hexdigest()


def _write_properties(path: Path, settings: dict) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
