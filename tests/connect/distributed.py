#!/usr/bin/env python3
"""Runs several workers of `aqueduct connect` that share connectors over a real Kafka: what one of them does when another
one is killed, paused, asked at the same time, or of another version.

Needs KAFKA_BOOTSTRAP, PUBSUB_EMULATOR_HOST and a built target/debug/aqueduct.
"""

import concurrent.futures
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from fixtures import Reader, check, create_topic, kafka, produce
from run import PEOPLE, config, events
from worker_pair import DISTRIBUTED, WORKER, Worker, free_port, until

TASKS = 4


class Cluster:
    """A group of workers, and one connector with a topic of six partitions."""

    def __init__(self, name, folder):
        self.name, self.folder, self.group = name, folder, f"{name}-group"
        create_topic(name, partitions=6)
        self.reader = Reader(name)
        self.made = 0

    def start(self, count=1):
        """Workers that are begun at the same time."""
        found = [None] * count

        def start(number):
            found[number] = Worker("ours", self.folder, group=self.group)

        threads = [threading.Thread(target=start, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if None in found:
            raise SystemExit("a worker did not start")
        for worker in found:
            until("the worker is ready", lambda: worker.call("GET", "/health")[0] == 200)
        return found

    def produce(self, count):
        start, self.made = self.made, self.made + count
        produce(self.name, events(start, self.made))

    def all_arrive(self, what):
        until(lambda: f"{what}: {len(set(range(self.made)) - self.reader.ids())} events are missing", lambda: self.reader.ids() >= set(range(self.made)))
        print(f"ok: {what}")

    def config(self, **more):
        return config(self.name, tasks__max=str(TASKS), **more)

    def put(self, worker, action, body=None):
        return worker.call("PUT", f"/connectors/{self.name}/{action}", body)[0]

    def states(self, worker):
        """The state of each task, with the port of its worker."""
        status, _, body = worker.call("GET", f"/connectors/{self.name}/status")
        tasks = json.loads(body)["tasks"] if status == 200 else []
        return [(task["state"], int(task["worker_id"].rsplit(":", 1)[1])) for task in tasks]

    def are(self, what, asked, state, workers):
        """Waits until all tasks have this state, and these workers share them equally, as the worker that is asked sees it."""
        each = TASKS // len(workers)
        expected = sorted((state, worker.port) for worker in workers for _ in range(each))
        until(lambda: f"{what}: {self.states(asked)}", lambda: sorted(self.states(asked)) == expected)
        print(f"ok: {what}")


def shares(cluster):
    a, b = cluster.start(2)
    status, _, body = a.call("POST", "/connectors", {"name": cluster.name, "config": cluster.config()})
    check("a connector is created on one worker", status == 201 and len(json.loads(body)["tasks"]) == TASKS, body)
    cluster.are("the other worker shows its tasks, half of them its own", b, "RUNNING", [a, b])
    check("and its configuration", json.loads(b.call("GET", f"/connectors/{cluster.name}/config")[2]) == cluster.config())
    cluster.produce(200)
    cluster.all_arrive("both publish")
    members = kafka("consumer.group.ConsumerGroupCommand", "--describe", "--members", "--group", f"connect-{cluster.name}")
    check("each task is a member of the connector's group", members.count(f"connect-{cluster.name}") == TASKS, members)
    topics = json.loads(b.call("GET", f"/connectors/{cluster.name}/topics")[2])
    check("both know the topics", topics == {cluster.name: {"topics": [cluster.name]}}, topics)
    return a, b


def survives_a_kill(cluster, a, b):
    """The worker is killed while it publishes. The broker gives its partitions away after the session timeout."""
    before = len(cluster.reader.ids())
    producing = threading.Thread(target=cluster.produce, args=(3000,))
    producing.start()
    until("events flow", lambda: len(cluster.reader.ids()) > before)
    a.kill()
    producing.join()
    cluster.are("no task of a killed worker stays RUNNING", b, "RUNNING", [b])
    cluster.all_arrive("nothing is lost when a worker is killed")
    (a,) = cluster.start()
    cluster.are("a worker that joins takes its share", b, "RUNNING", [a, b])
    return a


def survives_a_freeze(cluster, a, b):
    """A worker that is frozen, or cut off from Kafka, counts as gone. When it is back, it takes its share again."""
    b.process.send_signal(signal.SIGSTOP)
    try:
        cluster.are("the tasks of a frozen worker move", a, "RUNNING", [a])
    finally:
        b.process.send_signal(signal.SIGCONT)
    cluster.are("and return to it", a, "RUNNING", [a, b])
    cluster.produce(100)
    cluster.all_arrive("nothing is lost when a worker is frozen")


def changes(cluster, a, b):
    check("a configuration is put on one worker", cluster.put(a, "config", cluster.config(metadata__publish="true")) == 200)
    get = lambda: json.loads(b.call("GET", f"/connectors/{cluster.name}/config")[2])
    until("the other worker shows it", lambda: get().get("metadata.publish") == "true")
    cluster.are("the tasks run with it", a, "RUNNING", [a, b])
    check("pause on the other worker", cluster.put(b, "pause") == 202)
    cluster.are("it stops the tasks of both", a, "PAUSED", [a, b])
    cluster.produce(50)
    check("a paused connector publishes nothing", not cluster.reader.ids() & set(range(cluster.made - 50, cluster.made)))
    check("resume", cluster.put(a, "resume") == 202)
    cluster.all_arrive("it continues after resume")
    check("and with the new configuration", "kafka.partition" in cluster.reader.messages[-1][1])
    cluster.are("all tasks run again", b, "RUNNING", [a, b])
    status, _, body = b.call("POST", f"/connectors/{cluster.name}/restart?includeTasks=true")
    check("tasks of both are restarted", status == 202 and {task["state"] for task in json.loads(body)["tasks"]} == {"RESTARTING"}, body)
    cluster.are("and run", a, "RUNNING", [a, b])


def meets(cluster, a, b):
    """Clients change the same connector on both workers at the same time."""
    answers = []

    def change(worker, value):
        for number in range(15):
            answers.append(cluster.put(worker, "config", cluster.config(delayThresholdMs=str(value + number))))
            answers.append(worker.call("PATCH", f"/connectors/{cluster.name}/config", {"maxBufferSize": str(value + number)})[0])

    threads = [threading.Thread(target=change, args=arguments) for arguments in ((a, 100), (b, 200))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("changes that meet are made or refused", set(answers) <= {200, 409} and 200 in answers, answers)
    print(f"    {answers.count(409)} of {len(answers)} are refused")
    check("once more, so that both have read everything", cluster.put(a, "config", cluster.config(delayThresholdMs="7")) == 200)
    get = lambda worker: worker.call("GET", f"/connectors/{cluster.name}/config")[2]
    until("both show the same configuration", lambda: get(a) == get(b) and b'"delayThresholdMs":"7"' in get(b))


def is_never_half_changed(cluster, a, b):
    """One worker is killed right after its answer, the other one before it could answer."""
    check("a last configuration", cluster.put(a, "config", cluster.config(delayThresholdMs="11")) == 200)
    a.kill()
    get = lambda worker: json.loads(worker.call("GET", f"/connectors/{cluster.name}/config")[2])
    until("the other worker has it", lambda: get(b).get("delayThresholdMs") == "11")
    body = json.dumps(cluster.config(delayThresholdMs="12", maxBufferSize="12")).encode()
    head = f"PUT /connectors/{cluster.name}/config HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", b.port)) as connection:
        connection.sendall(head.encode() + body)
        b.kill()
    (c,) = cluster.start()
    found = get(c)
    check("a configuration is the old one or the new one", found in (cluster.config(delayThresholdMs="11"), cluster.config(delayThresholdMs="12", maxBufferSize="12")), found)
    cluster.are("and its tasks run", c, "RUNNING", [c])
    cluster.produce(100)
    cluster.all_arrive("nothing is lost when all workers are killed")
    return c


def ends_with(cluster, more, what):
    """A worker that cannot start says why, and ends."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "worker.properties"
        names = {"kafka": os.environ["KAFKA_BOOTSTRAP"], "port": free_port(), "plugins": folder, "group": f"{cluster.group}-other"}
        file.write_text((WORKER + DISTRIBUTED + more).format(**names))
        command = [os.environ.get("AQUEDUCT", "target/debug/aqueduct"), "connect", file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        check(what, done.returncode == 1 and "config.storage.topic" in done.stderr, done)


def refuses_topics(cluster):
    name = f"{cluster.name}-deleting"
    kafka("TopicCommand", "--create", "--topic", name, "--partitions", "1", "--config", "cleanup.policy=delete")
    ends_with(cluster, f"config.storage.topic={name}\n", "a topic that deletes configurations is refused")
    name = f"{cluster.name}-wide"
    kafka("TopicCommand", "--create", "--topic", name, "--partitions", "2", "--config", "cleanup.policy=compact")
    ends_with(cluster, f"config.storage.topic={name}\n", "a topic of configurations with two partitions is refused")


def waits_for_kafka(cluster):
    nowhere = f"bootstrap.servers=127.0.0.1:{free_port()}\n"
    with Worker("ours", cluster.folder, group=cluster.group, more=nowhere, is_up=lambda worker: worker.answers("/health", 503)) as worker:
        until("without Kafka a worker says so", lambda: "bootstrap.servers" in worker.log.read_text())
        check("and waits", worker.process.poll() is None)
        check("and ends when it is asked to", worker.stop() == 0)


def stops_at_a_newer_version(cluster, worker):
    value = json.dumps({"version": 2, "anything": True})
    produce(f"{cluster.group}-configs", [("aqueduct/connector/x/new", value)])
    check("a worker stops at the record of a newer version", worker.process.wait(60) == 1, worker.log.read_text()[-2000:])
    check("and names the record", f"{cluster.group}-configs-0" in worker.log.read_text())


def main():
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(f"shared-{os.getpid()}", folder)
        # Other workers, which have nothing to do with these.
        beside = concurrent.futures.ThreadPoolExecutor()
        others = [beside.submit(check_start, cluster) for check_start in (refuses_topics, waits_for_kafka)]
        a, b = shares(cluster)
        workers = [a, b]
        try:
            workers += [survives_a_kill(cluster, a, b)]
            a = workers[-1]
            survives_a_freeze(cluster, a, b)
            changes(cluster, a, b)
            meets(cluster, a, b)
            workers += [is_never_half_changed(cluster, a, b)]
            for other in others:
                other.result()
            stops_at_a_newer_version(cluster, workers[-1])
        except BaseException:
            for worker in workers:
                print(f"worker {worker.port} logged at last:\n{worker.log.read_text()[-3000:]}")
            raise
        finally:
            for worker in workers:
                worker.kill()
        check("no person is in a message", PEOPLE not in str(cluster.reader.messages))
        check("no person is in a log", not any(PEOPLE in worker.log.read_text() for worker in workers))
    print("distributed workers: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
