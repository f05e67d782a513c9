"""Starts, reuses and stops the services: each has its own module, and state.json lists the running ones."""

import random
import socket
import time
from pathlib import Path

import bigquery
import config
import containers
import kafka
import process
import pubsub
import registry
import signals
from layout import LOGS, Fail, say, shown
from state import Running, State

SERVICES = {service.NAME: service for service in (kafka, pubsub, bigquery, registry)}
# Below every system's ephemeral ports: between choosing a port and listening on it, no outgoing connection takes it.
PORT_RANGE = range(20000, 30000)
TAIL_LINES = 20


def check_system(names: list, docker: bool) -> None:
    """Fails with one line for each program that the system lacks."""
    if docker:
        lines = containers.missing()
    else:
        lines = [line for name in names for line in SERVICES[name].missing()]
    if lines:
        raise Fail("\n".join(dict.fromkeys(lines)))


def fetch(names: list, docker: bool) -> None:
    check_system(names, docker)
    for name in names:
        if docker:
            containers.fetch(SERVICES[name])
        else:
            SERVICES[name].fetch()


def start(state: State, names: list, docker: bool, timeout_seconds: float) -> list:
    """Starts those of `names` that do not run yet, waits until each answers, and returns the names of the new ones.

    When one does not come up, the new ones are stopped again and the error says why.
    """
    _forget_dead(state)
    new = [name for name in names if name not in state.services]
    if not new:
        return []
    fetch(new, docker)
    try:
        with signals.held():
            state.open_scratch()
            state.save()
        ports = _ports(new, {port for running in state.services.values() for port in running.ports.values()})
        children = {name: _launch(state, name, ports[name], docker) for name in new}
        _await_all(state, children, timeout_seconds)
    except BaseException:
        with signals.held():
            stop(state, [name for name in new if name in state.services])
        raise
    config.write(state, SERVICES)
    return new


def stop(state: State, names: list) -> None:
    """Ends them and removes what they kept on disk; with the last one also the pipeline's own scratch data."""
    stopped = {name: state.services[name] for name in names}
    process.end([running.identity() for running in stopped.values() if not running.container])
    for name, running in stopped.items():
        if running.container:
            containers.save_log(running.container, Path(running.log))
            containers.remove(running.container)
        del state.services[name]
        state.drop_scratch(name)
    if not state.services:
        state.drop_scratch()
    config.write(state, SERVICES)
    state.save()


def restart(state: State, name: str, timeout_seconds: float) -> None:
    """Ends it and starts it again on the same ports and data.

    In an orderly way: a broker that was killed is let in again only when its session has expired, a minute later.
    """
    running = state.services.get(name)
    if running is None or running.container:
        raise Fail(f"{name} does not run as a process of this machine: nothing to restart")
    process.end([running.identity()])
    with signals.held():
        child = process.spawn(SERVICES[name].native(running.ports, Path(state.scratch, name)), Path(running.log))
        identity = process.Identity.of(child.pid)
        running.pid, running.started = identity.pid, identity.started
        state.save()
    _await_all(state, {name: child}, timeout_seconds, prepare=False)


def alive(running: Running) -> bool:
    return containers.alive(running.container) if running.container else running.identity().alive()


def address(name: str, running: Running) -> str:
    return "  ".join(f"{key}={value}" for key, value in SERVICES[name].environment(running.ports).items())


def _forget_dead(state: State) -> None:
    """A service that has died is reported and restarted."""
    for name in [name for name, running in state.services.items() if not alive(running)]:
        say(f"{name}: was started earlier and has died since; its log was {shown(state.services[name].log)}")
        stop(state, [name])


def _launch(state: State, name: str, ports: dict, docker: bool):
    """Starts one and writes it down before any signal is heard. Returns the child, None for a container."""
    service = SERVICES[name]
    running = Running(ports=ports, log=str(LOGS / f"{name}.log"))
    child = None
    with signals.held():
        if docker:
            running.container = containers.start(service, ports)
        else:
            child = process.spawn(service.native(ports, state.scratch_folder(name)), Path(running.log))
            identity = process.Identity.of(child.pid)
            running.pid, running.started = identity.pid, identity.started
        state.services[name] = running
        state.save()
    return child


def _await_all(state: State, children: dict, timeout_seconds: float, prepare: bool = True) -> None:
    """Asks each in turn until all have answered. A dead one is noticed at once, not at the deadline."""
    began = time.monotonic()
    waiting = dict.fromkeys(children, "not asked yet")
    while waiting:
        for name in list(waiting):
            running = state.services[name]
            if not alive(running):
                child = children[name]
                code = f" (exit code {child.poll()})" if child else ""
                raise _unhealthy(name, running, f"died at its start{code}")
            try:
                SERVICES[name].probe(running.ports)
            except OSError as error:
                waiting[name] = str(error)
            else:
                if prepare:
                    SERVICES[name].prepare(running.ports)
                del waiting[name]
                say(f"  {name:9} {address(name, running)}  ready after {time.monotonic() - began:.1f} s")
        late = time.monotonic() - began > timeout_seconds
        if waiting and late:
            name, error = next(iter(waiting.items()))
            raise _unhealthy(name, state.services[name], f"did not answer within {timeout_seconds:g} s ({error})")
        time.sleep(0.1 if waiting else 0)


def _unhealthy(name: str, running: Running, what: str) -> Fail:
    log = Path(running.log)
    if running.container:
        containers.save_log(running.container, log)
    tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return Fail("\n".join([*(f"  | {line}" for line in tail), f"{name}: {what}; its whole log is {shown(log)}"]))


def _ports(names: list, taken: set) -> dict:
    """The ports of each, chosen together and without those of what runs: not on every port that is given out does a
    service listen by the time at which the next is chosen."""
    free = iter(_free_ports(sum(len(SERVICES[name].PORTS) for name in names), taken))
    return {name: {port: next(free) for port in SERVICES[name].PORTS} for name in names}


def _free_ports(count: int, taken: set) -> list:
    """Distinct ports on which nothing listens: each is held until all are found."""
    held = []
    candidates = [port for port in PORT_RANGE if port not in taken]
    try:
        for port in random.sample(candidates, len(candidates)):
            candidate = socket.socket()
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                candidate.close()
                continue
            held.append(candidate)
            if len(held) == count:
                return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
    raise Fail(f"no free port between {PORT_RANGE.start} and {PORT_RANGE.stop}")
