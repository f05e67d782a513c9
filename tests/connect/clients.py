#!/usr/bin/env python3
"""Drives `aqueduct connect` with five clients of Kafka Connect from PyPI: what each of them can do, and what it then sees.
Four others are represented by their calls (sequences.py).

Needs KAFKA_BOOTSTRAP, and a built target/debug/aqueduct.
"""

import json
import os
import pathlib
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
import environment  # noqa: E402
from sequences import SEQUENCES, member  # noqa: E402


def main():
    import fixtures
    import rest_calls
    from worker_pair import Worker, until

    topic = f"clients-{os.getpid()}"
    fixtures.create_topic(topic, partitions=1)
    with tempfile.TemporaryDirectory() as folder:
        good = rest_calls.config(topic, gcp__credentials__file__path=fixtures.service_account(folder))
        with Worker("ours", folder) as worker:
            settled = lambda name, state, tasks: until(
                lambda: f"{name} is {state} {tasks}: {worker.state(name)}", lambda: worker.state(name) == (state, tasks))
            url = f"http://127.0.0.1:{worker.port}"
            for drive in (kafka_connect_py, kafkaconnect, kafka_connect_api, healthcheck, watcher):
                drive(url, good, settled)
                print(f"ok: {drive.__name__}")
            for client, sequence in SEQUENCES.items():
                follow(worker, client, sequence, good)
                print(f"ok: the calls of {client}")
    return 0


def follow(worker, client, sequence, good):
    """Makes the calls of a client, and checks what it relies on."""
    offsets = {"offsets": [{"partition": {"kafka_topic": good["topics"], "kafka_partition": 0}, "offset": {"kafka_offset": 0}}]}

    def filled(body):
        if isinstance(body, dict):
            return {key: filled(value) for key, value in body.items()}
        return {"CONFIG": {**good, "name": client}, "OFFSETS": offsets, "NAME": client}.get(body, body)

    for method, path, body, statuses, members in sequence:
        status, _, answer = worker.call(method, path.replace("NAME", client), filled(body))
        missing = [name for name in members if not member(json.loads(answer), name.replace("NAME", client))]
        if status not in statuses or missing:
            raise SystemExit(f"{client}: {method} {path}: {status}, without {missing}: {answer.decode()[:500]}")


def same(found, expected):
    if found != expected:
        raise SystemExit(f"found {found}, expected {expected}")


def kafka_connect_py(url, good, settled):
    from kafka_connect import KafkaConnect

    connect = KafkaConnect(url=url)
    same(sorted(connect.get_cluster_info()), ["commit", "kafka_cluster_id", "version"])
    same(connect.list_connectors(), [])
    made = connect.create_connector({"name": "py", "config": good})
    same((made["name"], made["type"], made["config"]), ("py", "sink", {**good, "name": "py"}))
    settled("py", "RUNNING", ["RUNNING"])
    same(list(connect.list_connectors(expand="status", state="running")), ["py"])
    same(connect.get_connector("py")["tasks"], [{"connector": "py", "task": 0}])
    changed = {**good, "metadata.publish": "true"}
    connect.update_connector("py", changed)
    same(connect.get_connector_config("py"), {**changed, "name": "py"})
    connect.pause_connector("py")
    settled("py", "PAUSED", ["PAUSED"])
    connect.resume_connector("py")
    settled("py", "RUNNING", ["RUNNING"])
    same([task["id"] for task in connect.list_connector_tasks("py")], [{"connector": "py", "task": 0}])
    same(connect.get_connector_task_status("py", 0)["state"], "RUNNING")
    connect.restart_connector("py", include_tasks=True, only_failed=True)
    connect.restart_connector_task("py", 0)
    settled("py", "RUNNING", ["RUNNING"])
    same(connect.list_connector_topics("py"), {"py": {"topics": []}})
    connect.reset_connector_topics("py")
    same([plugin["class"] for plugin in connect.list_connector_plugins()], [good["connector.class"]])
    invalid = connect.validate_connector_config("CloudPubSubSinkConnector", {**good, "name": "py", "tasks.max": "0"})
    same(invalid["error_count"], 1)
    connect.stop_connector("py")
    same(connect.get_connector_status("py")["connector"]["state"], "STOPPED")
    connect.delete_connector("py")
    same(connect.list_connectors(), [])


def kafkaconnect(url, good, settled):
    from kafkaconnect.connect import Connect

    connect = Connect(connect_url=url)
    made = json.loads(connect.validate_and_create("kc", json.dumps({**good, "name": "kc"})))
    same(made["name"], "kc")
    settled("kc", "RUNNING", ["RUNNING"])
    same(json.loads(connect.list()), ["kc"])
    same(json.loads(connect.status("kc"))["connector"]["state"], "RUNNING")
    same(json.loads(connect.config("kc"))["topics"], good["topics"])
    same(len(json.loads(connect.tasks("kc"))), 1)
    same(json.loads(connect.topics("kc")), {"kc": {"topics": []}})
    same(json.loads(connect.plugins())[0]["type"], "sink")
    same([connect.pause("kc"), connect.resume("kc"), connect.restart("kc"), connect.remove("kc")], [""] * 4)
    same(connect.info("kc"), f"Resource {url}/connectors/kc not found.")


def kafka_connect_api(url, good, settled):
    from kafka_connect_api.kafka_connect_api import Api, Cluster, Connector

    cluster = Cluster(Api(url=url))
    same(cluster.version, "4.4.0")
    connector = Connector(cluster, "api")
    connector.config = good
    same((connector.config["name"], [*cluster.connectors], connector.exists()), ("api", ["api"], True))
    settled("api", "RUNNING", ["RUNNING"])
    same([task.is_running() for task in connector.tasks], [True])
    connector.cycle_connector()
    settled("api", "RUNNING", ["RUNNING"])
    connector.restart()
    same(cluster.root_logger["level"], "INFO")
    cluster.set_logger_log_level("org.apache.kafka.connect", "DEBUG")
    same(cluster.loggers["org.apache.kafka.connect"]["level"], "DEBUG")
    connector.delete()
    same([*cluster.connectors], [])


def healthcheck(url, good, settled):
    from kafka_connect import KafkaConnect
    from kafka_connect_healthcheck.health import Health

    health = Health(url, None, ["FAILED"], "", 0, ["connector", "task"])
    same(health.get_health_result()["healthy"], True)
    connect = KafkaConnect(url=url)
    connect.create_connector({"name": "well", "config": good})
    settled("well", "RUNNING", ["RUNNING"])
    same(health.get_health_result()["healthy"], True)
    connect.create_connector({"name": "ill", "config": {**good, "gcp.credentials.file.path": "/none.json"}})
    settled("ill", "RUNNING", ["FAILED"])
    result = health.get_health_result()
    same(result["healthy"], False)
    same([(one["type"], one["connector"], one["id"]) for one in result["failures"]], [("task", "ill", 0)])
    for name in ("well", "ill"):
        connect.delete_connector(name)


def watcher(url, good, settled):
    """Finds the task that has failed, restarts it, and does not touch the other connector."""
    from unittest import mock

    from kafka_connect import KafkaConnect
    from kafka_connect_watcher.cluster import ConnectCluster
    from kafka_connect_watcher.config import Config

    rule = {"include_regex": [".*"], "auto_correct_actions": [{"action": "restart"}]}
    config = Config(configuration={"clusters": [{"hostname": "localhost", "url": url, "evaluation_rules": [rule]}]})
    cluster = ConnectCluster(config.config["clusters"][0], config)
    connect = KafkaConnect(url=url)
    connect.create_connector({"name": "calm", "config": good})
    connect.create_connector({"name": "lost", "config": {**good, "gcp.credentials.file.path": "/none.json"}})
    settled("lost", "RUNNING", ["FAILED"])
    settled("calm", "RUNNING", ["RUNNING"])
    # It waits for seconds after a restart.
    with mock.patch("kafka_connect_watcher.error_rules.time.sleep"):
        cluster.handling_rules[0].execute(cluster)
    same({key: cluster.metrics[key] for key in ("total", "count", "failed")}, {"total": 2, "count": 2, "failed": 1})
    settled("lost", "RUNNING", ["FAILED"])
    for name in ("calm", "lost"):
        connect.delete_connector(name)


if __name__ == "__main__":
    environment.enter(__file__)
    sys.exit(main())
