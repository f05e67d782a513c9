#!/usr/bin/env python3
"""The real services for tests and for trying Aqueduct: Kafka, Google's Pub/Sub emulator, a BigQuery emulator
and Apicurio's schema registry.

    services.py start             starts them on free ports, leaves them running, prints the addresses
    services.py stop              ends them and removes their data
    services.py status            what runs; exit code 1 if something that was started is not healthy, or nothing runs
    services.py run -- COMMAND    starts missing services, runs COMMAND with the addresses in its environment
                                  (KAFKA_BOOTSTRAP, PUBSUB_EMULATOR_HOST, BIGQUERY_REST, BIGQUERY_GRPC, SCHEMA_REGISTRY),
                                  stops what it started whatever happens, exits with COMMAND's code
    services.py restart           ends those that run and starts them again on the same ports and data (--only kafka)
    services.py fetch             downloads what is needed, starts nothing

Options: --only kafka,pubsub,bigquery,registry  a part of them; --docker  containers instead of native processes.
Downloads, logs, addresses and a ready aqueduct.toml lie in target/services. Standard library only.
"""

import argparse
import sys
import time

import config
import fleet
import runner
import signals
import state as states
from layout import CONFIG_FILE, ENV_FILE, Fail, say, shown


def main() -> int:
    options = _arguments()
    signals.install()
    try:
        return options.command(options)
    except Fail as failure:
        say(f"{failure}")
        return 1
    except signals.Interrupted as interrupt:
        say("interrupted")
        return 128 + interrupt.signum


def start(options) -> int:
    with states.locked():
        state = states.load()
        _start(state, options)
        for running in state.services.values():
            running.kept = True
        state.save()
    print(f"environment    . {shown(ENV_FILE)}")
    print(f"configuration  {shown(CONFIG_FILE)}")
    return 0


def stop(options) -> int:
    with states.locked():
        state = states.load()
        names = [name for name in options.only if name in state.services]
        with signals.held():
            fleet.stop(state, names)
    say(f"stopped {', '.join(names)}" if names else "nothing was running")
    return 0


def status(options) -> int:
    state = states.load()
    healthy = True
    for name in options.only:
        running = state.services.get(name)
        if running is None:
            print(f"{name:9} not running")
            healthy = False
            continue
        trouble = _trouble(name, running)
        healthy = healthy and not trouble
        how = running.container or f"pid {running.pid}"
        print(f"{name:9} {trouble or 'healthy'}  {how}  {fleet.address(name, running)}  log {shown(running.log)}")
    return 0 if healthy else 1


def run(options) -> int:
    """The last user stops the services that this starts."""
    try:
        with states.locked():
            state = states.load()
            state.enter()
            state.save()
            _start(state, options)
            variables = config.environment(state, fleet.SERVICES)
        return runner.run(options.argv, variables)
    finally:
        with signals.held():
            _release()


def fetch(options) -> int:
    with states.locked():
        began = time.monotonic()
        running = [name for name in options.only if name in states.load().services]
        if running:
            raise Fail(f"{', '.join(running)} running: stop the services before fetching them again")
        fleet.fetch(options.only, options.docker)
    say(f"fetched {', '.join(options.only)} in {time.monotonic() - began:.1f} s")
    return 0


def restart(options) -> int:
    with states.locked():
        state = states.load()
        for name in options.only:
            fleet.restart(state, name, options.timeout)
    return 0


def _start(state, options) -> None:
    began = time.monotonic()
    new = fleet.start(state, options.only, options.docker, options.timeout)
    for name in options.only:
        if name not in new:
            say(f"  {name:9} {fleet.address(name, state.services[name])}  runs already, reused")
    if new:
        say(f"started {', '.join(new)} in {time.monotonic() - began:.1f} s")


def _release() -> None:
    """Leaves; the last user stops the services that are not kept."""
    with states.locked():
        state = states.load()
        state.leave()
        state.save()
        if state.users:
            return
        names = [name for name, running in state.services.items() if not running.kept]
        if names:
            fleet.stop(state, names)
            say(f"stopped {', '.join(names)}")


def _trouble(name: str, running) -> str:
    """Why it is not healthy, or nothing."""
    if not fleet.alive(running):
        return "dead"
    try:
        fleet.SERVICES[name].probe(running.ports)
    except OSError as error:
        return f"does not answer ({error})"
    return ""


def _arguments():
    common = argparse.ArgumentParser(add_help=False)
    every = list(fleet.SERVICES)
    common.add_argument("--only", type=_names, default=every, metavar="NAMES", help=",".join(every))
    common.add_argument("--docker", action="store_true", help="containers instead of native processes")
    common.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="until all must answer (120)")
    parser = argparse.ArgumentParser(
        prog="services.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="start|stop|status|run|restart|fetch")
    for command in (start, stop, status, restart, fetch):
        commands.add_parser(command.__name__, parents=[common]).set_defaults(command=command)
    runs = commands.add_parser("run", parents=[common])
    runs.add_argument("argv", nargs="+", metavar="COMMAND", help="after `--`")
    runs.set_defaults(command=run)
    return parser.parse_args()


def _names(text: str) -> list:
    names = text.split(",")
    for name in names:
        if name not in fleet.SERVICES:
            raise argparse.ArgumentTypeError(f"no service is called {name!r}: {', '.join(fleet.SERVICES)}")
    return [name for name in fleet.SERVICES if name in names]


if __name__ == "__main__":
    sys.exit(main())
