"""Calls of clients that are not on a package index, in the order in which they make them, written from notes on their sources
(Strimzi 8541da1e33, kafbat ab8c9ceb8, kcctl 4381ff6, Mongey's Terraform provider 05a9d1e) and not recorded. Each has the status
codes that the client accepts, and the members that it reads from the answer.
"""

SEQUENCES = {
    "strimzi": [
        ("GET", "/connector-plugins", None, [200], ["[0].class", "[0].type", "[0].version"]),
        ("GET", "/connectors", None, [200], []),
        ("GET", "/connectors/NAME/config", None, [404], ["message"]),
        ("PUT", "/connectors/NAME/config", "CONFIG", [200, 201], ["name", "config", "tasks", "type"]),
        ("GET", "/connectors/NAME/status", None, [200], ["connector.state", "tasks"]),
        ("GET", "/connectors/NAME/config", None, [200, 201], ["name", "connector.class"]),
        ("PUT", "/connectors/NAME/pause", None, [202], []),
        ("PUT", "/connectors/NAME/resume", None, [202], []),
        ("PUT", "/connectors/NAME/stop", None, [204], []),
        ("PUT", "/connectors/NAME/resume", None, [202], []),
        ("POST", "/connectors/NAME/restart?includeTasks=true&onlyFailed=false", None, [202, 204], []),
        ("POST", "/connectors/NAME/tasks/0/restart", None, [204], []),
        ("GET", "/connectors/NAME/topics", None, [200], ["NAME.topics"]),
        ("GET", "/connectors/NAME/offsets", None, [200], ["offsets"]),
        ("GET", "/admin/loggers", None, [200], ["root.level"]),
        ("PUT", "/admin/loggers/root?scope=cluster", {"level": "INFO"}, [200, 204], []),
        ("DELETE", "/connectors/NAME", None, [204], []),
        # It waits until the status is gone.
        ("GET", "/connectors/NAME/status", None, [404], ["error_code", "message"]),
    ],
    "kafbat": [
        ("GET", "/", None, [200], ["version", "commit", "kafka_cluster_id"]),
        ("GET", "/connector-plugins", None, [200], ["[0].class"]),
        ("PUT", "/connector-plugins/CloudPubSubSinkConnector/config/validate", "CONFIG", [200], ["error_count", "configs"]),
        ("POST", "/connectors", {"name": "NAME", "config": "CONFIG"}, [200, 201], ["name", "config", "tasks", "type"]),
        ("GET", "/connectors?expand=status&expand=info", None, [200], ["NAME.info.config", "NAME.status.connector.state"]),
        ("GET", "/connectors/NAME", None, [200], ["name", "config", "tasks", "type"]),
        ("GET", "/connectors/NAME/topics", None, [200], ["NAME.topics"]),
        ("GET", "/connectors/NAME/tasks", None, [200], ["[0].id.task", "[0].config"]),
        ("GET", "/connectors/NAME/tasks/0/status", None, [200], ["id", "state", "worker_id"]),
        ("PUT", "/connectors/NAME/config", "CONFIG", [200], ["name"]),
        ("POST", "/connectors/NAME/restart?includeTasks=false&onlyFailed=false", None, [202, 204], []),
        ("PUT", "/connectors/NAME/stop", None, [204], []),
        ("DELETE", "/connectors/NAME/offsets", None, [200], ["message"]),
        ("DELETE", "/connectors/NAME", None, [204], []),
    ],
    "kcctl": [
        ("GET", "/", None, [200], ["version", "commit", "kafka_cluster_id"]),
        ("GET", "/connector-plugins?connectorsOnly=false", None, [200], ["[0].class", "[1].type"]),
        ("GET", "/connector-plugins/CloudPubSubSinkConnector/config", None, [200], ["[0].name", "[0].documentation"]),
        ("PUT", "/connectors/NAME/config", "CONFIG", [200, 201], ["name"]),
        ("GET", "/connectors?expand=info&expand=status", None, [200], ["NAME.info.type", "NAME.status.tasks"]),
        ("PATCH", "/connectors/NAME/config", {"metadata.publish": "true"}, [200], ["config"]),
        ("PUT", "/connectors/NAME/stop", None, [204], []),
        ("GET", "/connectors/NAME/offsets", None, [200], ["offsets"]),
        ("PATCH", "/connectors/NAME/offsets", "OFFSETS", [200], ["message"]),
        ("PUT", "/connectors/NAME/resume", None, [202], []),
        ("PUT", "/admin/loggers/org.apache.kafka.connect", {"level": "INFO"}, [200], ["[0]"]),
        ("DELETE", "/connectors/NAME", None, [204], []),
    ],
    "terraform": [
        ("POST", "/connectors", {"name": "NAME", "config": "CONFIG"}, [201], ["name", "config"]),
        ("GET", "/connectors/NAME", None, [200], ["name", "config", "tasks"]),
        ("PUT", "/connectors/NAME/config", "CONFIG", [200], ["config"]),
        ("DELETE", "/connectors/NAME", None, [204], []),
        ("GET", "/connectors/NAME", None, [404], ["error_code"]),
    ],
}


def member(value, path):
    """The member of a body: names separated by points, `[0]` for an element. A name may contain points itself."""
    if not path:
        return True
    if isinstance(value, dict) and path in value:
        return True
    if path.startswith("["):
        index, _, rest = path[1:].partition("]")
        return isinstance(value, list) and len(value) > int(index) and member(value[int(index)], rest.lstrip("."))
    first, _, rest = path.partition(".")
    return isinstance(value, dict) and first in value and member(value[first], rest)
