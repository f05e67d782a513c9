"""What users of the running services read: target/services/env for a shell, and a ready target/services/aqueduct.toml.

Both are written anew whenever something starts or stops, and hold only what runs.
"""

import shlex

from layout import CONFIG_FILE, ENV_FILE, PROJECT
from state import State


def environment(state: State, services: dict) -> dict:
    """The variables that tests and tools read."""
    variables = {}
    for name, running in state.services.items():
        variables |= services[name].environment(running.ports)
    return variables


def write(state: State, services: dict) -> None:
    """Removes both files when nothing runs."""
    variables = environment(state, services)
    if not variables:
        ENV_FILE.unlink(missing_ok=True)
        CONFIG_FILE.unlink(missing_ok=True)
        return
    ENV_FILE.write_text("".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items()))
    CONFIG_FILE.write_text(_toml(variables, state.scratch))


def _toml(variables: dict, scratch: str) -> str:
    sections = [HEAD]
    if "KAFKA_BOOTSTRAP" in variables:
        sections.append(KAFKA.format(bootstrap=variables["KAFKA_BOOTSTRAP"]))
    if "PUBSUB_EMULATOR_HOST" in variables:
        sections.append(PUBSUB.format(project=PROJECT, host=variables["PUBSUB_EMULATOR_HOST"]))
    sections.append(FLOW)
    if "BIGQUERY_REST" in variables:
        sections.append(
            BIGQUERY.format(project=PROJECT, rest=variables["BIGQUERY_REST"], grpc=variables["BIGQUERY_GRPC"])
        )
    else:
        sections.append(SQLITE)
    sections.append(STATE.format(scratch=scratch))
    return "\n".join(sections)


HEAD = """\
# Made by deploy/services/services.py for the services that run now, and made anew at each start. To try them:
#     export AQUEDUCT_CONFIG=target/services/aqueduct.toml
#     aqueduct keys new; aqueduct setup
#     aqueduct connector & aqueduct processor & aqueduct generate --rate 500
"""

KAFKA = """\
[kafka]
bootstrap_servers = "{bootstrap}"
topics = ["events"]
group_id = "aqueduct"
"""

PUBSUB = """\
[pubsub]
project = "{project}"
topic = "events"
subscription = "events-ctr"
# The emulator keeps everything in memory: acknowledged messages go at once.
retention = "0s"
emulator_host = "{host}"
"""

FLOW = """\
[anonymise]
pseudonymise = ["/user_id"]
remove = ["/ip"]
strip_query = ["/page"]
forward = "all"
keyring = "keys.toml"

[events]
time = "/time"
id = "/event_id"

[[flows]]
name = "box_ctr"
by = { page = "/page", box = "/box" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "10m", period = "1m" }
early = "15s"
"""

BIGQUERY = """\
[writer]
kind = "bigquery"
project = "{project}"
dataset = "aqueduct"
location = "EU"
rest_endpoint = "{rest}"
grpc_endpoint = "{grpc}"
# Or a file, which needs nothing:
# kind = "sqlite"
# path = "aqueduct.db"
"""

SQLITE = """\
[writer]
kind = "sqlite"
path = "aqueduct.db"
"""

STATE = """\
# Checkpoints belong to these services' topics: they go when the services are stopped.
[state]
checkpoints = "file://{scratch}/checkpoints"

# A port for each program, which it logs: two of them run on this machine.
[service]
listen = "127.0.0.1:0"
"""
