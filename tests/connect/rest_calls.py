"""The calls of `rest.py`, in their order."""

from worker_pair import SINK

# How an answer is compared.
SAME = "same"  # status and body, but for what `normalised` takes out
SHAPE = "shape"  # status, and the names and types of the body
STATUS = "status"  # status alone

MASK = "org.apache.kafka.connect.transforms.MaskField$Value"


TOPIC, CREDENTIALS = "TOPIC", "CREDENTIALS"  # what `rest.py` puts in their place


def config(topic=TOPIC, **more):
    """A valid configuration; `more` has `__` where a key has a point, and `None` for a key that is left out."""
    base = {
        "connector.class": SINK,
        "tasks.max": "1",
        "topics": topic,
        "cps.project": "test-project",
        "cps.topic": topic,
        "cps.endpoint": "localhost:1",
        "gcp.credentials.file.path": CREDENTIALS,
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "transforms": "mask",
        "transforms.mask.type": MASK,
        "transforms.mask.fields": "user_id",
    }
    base.update({key.replace("__", "."): value for key, value in more.items()})
    return {key: value for key, value in base.items() if value is not None}


def calls():
    """Method, path, body, comparison. The method `wait` waits for a state of a connector and of its tasks."""
    good = config()
    bad = lambda **more: ("POST", "/connectors", {"name": "bad", "config": config(**more)}, SAME)
    missing = [
        ("GET", "/connectors/none", None, SAME),
        ("GET", "/connectors/none/status", None, SAME),
        ("GET", "/connectors/none/config", None, SAME),
        ("GET", "/connectors/none/tasks", None, SAME),
        ("GET", "/connectors/none/tasks/0/status", None, SAME),
        ("GET", "/connectors/none/offsets", None, SAME),
        ("GET", "/connectors/none/topics", None, SAME),
        ("PUT", "/connectors/none/topics/reset", None, SAME),
        ("DELETE", "/connectors/none", None, SAME),
        ("PUT", "/connectors/none/pause", None, STATUS),
        ("PUT", "/connectors/none/resume", None, STATUS),
        ("POST", "/connectors/none/restart?includeTasks=true", None, STATUS),
        ("PATCH", "/connectors/none/config", {"a": "b"}, SAME),
    ]
    invalid = [
        ("POST", "/connectors", {"name": "bad", "config": {}}, SAME),
        # The list of the classes that there are is another one.
        ("POST", "/connectors", {"name": "bad", "config": {"connector.class": "nope"}}, STATUS),
        ("POST", "/connectors", {"name": "bad", "config": {"connector.class": SINK, "aqueduct.forward": "all"}}, SAME),
        bad(topics=""),
        bad(topics__regex="a.*"),
        bad(topics=f"{TOPIC},{TOPIC}"),
        bad(maxBufferSize="zero", tasks__max="0", maxBufferBytes="99999999", orderingKeySource="no", metadata__publish="maybe", errors__tolerance="some"),
        bad(transforms__mask__fields=""),
        bad(value__converter="Nope", value__converter__schemas__enable=None),
        bad(transforms="mask,nope"),
        # The message says which transforms there are.
        ("POST", "/connectors", {"name": "bad", "config": config(transforms__mask__type="Nope", transforms__mask__fields=None)}, STATUS),
        bad(name="other"),
        bad(errors__deadletterqueue__topic__name=TOPIC),
        ("POST", "/connectors", {"name": " ", "config": good}, SAME),
        ("POST", "/connectors", {"name": "a\nb", "config": good}, SAME),
        ("POST", "/connectors", {"name": "bad", "config": dict(good, n=None)}, SAME),
        ("PUT", "/connectors/bad/config", config(tasks__max="x"), SAME),
        ("GET", "/connectors", None, SAME),
    ]
    life = [
        ("POST", "/connectors", {"name": "one", "config": good, "initial_state": "PAUSED"}, SAME),
        ("wait", "one", ("PAUSED", None), None),
        ("POST", "/connectors", {"name": "one", "config": good}, SAME),
        ("GET", "/connectors", None, SAME),
        ("GET", "/connectors?expand=info&expand=status", None, SAME),
        ("GET", "/connectors?expand=nope", None, SAME),
        ("GET", "/connectors/one", None, SAME),
        # The path of a client that asks whether a connector exists.
        ("GET", "/connectors/one/", None, SAME),
        ("GET", "/connectors/one/config", None, SAME),
        ("GET", "/connectors/one/tasks", None, SAME),
        ("GET", "/connectors/one/tasks/7/status", None, SAME),
        ("GET", "/connectors/one/topics", None, SAME),
        ("GET", "/connectors/one/offsets", None, SAME),
        ("PUT", "/connectors/one/resume", None, SAME),
        ("wait", "one", ("RUNNING", ["RUNNING"]), None),
        ("GET", "/connectors/one/status", None, SHAPE),
        ("GET", "/connectors/one/tasks/0/status", None, SHAPE),
        ("GET", "/connectors/one", None, SAME),
        ("GET", "/connectors/one/tasks", None, SHAPE),
        ("PATCH", "/connectors/one/offsets", {"offsets": [{"partition": {"kafka_topic": TOPIC, "kafka_partition": 0}, "offset": {"kafka_offset": 1}}]}, SAME),
        ("DELETE", "/connectors/one/offsets", None, SAME),
        ("PUT", "/connectors/one/pause", None, SAME),
        ("wait", "one", ("PAUSED", ["PAUSED"]), None),
        ("PATCH", "/connectors/one/config", {"metadata.publish": "true"}, SHAPE),
        ("GET", "/connectors/one/config", None, SAME),
        ("PUT", "/connectors/one/config", good, SHAPE),
        ("PUT", "/connectors/one/config", config(name="zwei"), SAME),
        ("PUT", "/connectors/two/config", good, SHAPE),
        ("wait", "two", ("RUNNING", ["RUNNING"]), None),
        ("POST", "/connectors/two/restart", None, SAME),
        ("POST", "/connectors/two/tasks/0/restart", None, SAME),
        ("wait", "two", ("RUNNING", ["RUNNING"]), None),
        ("POST", "/connectors/two/restart?includeTasks=true", None, SHAPE),
        ("wait", "two", ("RUNNING", ["RUNNING"]), None),
        ("PUT", "/connectors/two/topics/reset", None, SAME),
        ("PUT", "/connectors/one/stop", None, SAME),
        ("wait", "one", ("STOPPED", []), None),
        ("GET", "/connectors/one/tasks", None, SAME),
        ("GET", "/connectors/one/status", None, SAME),
        ("PATCH", "/connectors/one/offsets", {"offsets": [{"partition": {"kafka_topic": TOPIC, "kafka_partition": 0}, "offset": {"kafka_offset": 3}}]}, SAME),
        ("GET", "/connectors/one/offsets", None, SAME),
        ("PATCH", "/connectors/one/offsets", {"offsets": [{"partition": {"kafka_topic": TOPIC}, "offset": {"kafka_offset": 3}}]}, SAME),
        ("PATCH", "/connectors/one/offsets", {"offsets": []}, SAME),
        ("PATCH", "/connectors/one/offsets", {}, SAME),
        ("PATCH", "/connectors/one/offsets", {"offsets": [{"partition": {"kafka_topic": TOPIC, "kafka_partition": 0}, "offset": {"kafka_offset": "x"}}]}, SAME),
        ("DELETE", "/connectors/one/offsets", None, SAME),
        ("GET", "/connectors/one/offsets", None, SAME),
        ("POST", "/connectors", {"name": "no file", "config": config(gcp__credentials__file__path="/none.json")}, SAME),
        ("wait", "no file", ("RUNNING", ["FAILED"]), None),
        ("GET", "/connectors/no%20file/status", None, SAME),
        ("DELETE", "/connectors/no%20file", None, SAME),
        ("POST", "/connectors", {"name": "later", "config": config(f"{TOPIC}-later")}, SAME),
        ("wait", "later", ("RUNNING", ["RUNNING"]), None),
        ("GET", "/connectors/later/offsets", None, SAME),
        ("DELETE", "/connectors/later", None, SAME),
        ("DELETE", "/connectors/one", None, SAME),
        ("wait", "one", (404, None), None),
        ("GET", "/connectors/one/status", None, SAME),
        # A real worker has a failed task of that number afterwards.
        ("POST", "/connectors/two/tasks/9/restart", None, SAME),
        ("DELETE", "/connectors/two", None, SAME),
    ]
    plugins = [
        ("GET", "/", None, SHAPE),
        ("GET", "/health", None, SAME),
        ("GET", "/connector-plugins/Nope/config", None, SAME),
        # Our own keys come after those of the sink and of Connect, and the documentation is our own.
        *[("GET", f"/connector-plugins/{name}/config", None, "keys") for name in [
            SINK, "CloudPubSubSinkConnector", MASK, "org.apache.kafka.connect.json.JsonConverter",
            "org.apache.kafka.connect.storage.StringConverter", "org.apache.kafka.connect.converters.ByteArrayConverter",
            *[f"org.apache.kafka.connect.transforms.{name}" for name in [
                "InsertField$Value", "ReplaceField$Key", "ExtractField$Value", "RegexRouter", "Filter",
                "predicates.HasHeaderKey", "predicates.TopicNameMatches", "predicates.RecordIsTombstone"]]]],
        ("PUT", f"/connector-plugins/{SINK}/config/validate", dict(good, name="x"), "validation"),
        ("PUT", "/connector-plugins/CloudPubSubSinkConnector/config/validate", {"connector.class": SINK, "maxBufferSize": "x", "aqueduct.forward": "all"}, "validation"),
        ("PUT", "/connector-plugins/Nope/config/validate", good, SAME),
        ("GET", "/admin/loggers", None, "loggers"),
        ("GET", "/admin/loggers/root", None, SAME),
        ("GET", "/admin/loggers/nope", None, SAME),
        ("PUT", "/admin/loggers/org.apache.kafka.connect", {"level": "DEBUG"}, SHAPE),
        ("PUT", "/admin/loggers/org.apache.kafka.connect", {"level": "NOPE"}, SAME),
        ("PUT", "/admin/loggers/org.apache.kafka.connect", {}, SAME),
        ("PUT", "/admin/loggers/org.apache.kafka.connect?scope=cluster", {"level": "INFO"}, STATUS),
        ("GET", "/nope", None, SAME),
        ("PUT", "/connectors", None, SAME),
        ("POST", "/connectors/one", None, SAME),
    ]
    return missing + invalid + life + plugins


# Requests to which a standalone worker answers 500, and what is answered here. It also takes a name with a slash, and then
# finds no connector at any path.
BETTER = [
    ("POST", "/connectors", {"name": "a/b", "config": config(), "initial_state": "STOPPED"}, 201),
    ("GET", "/connectors/a%2Fb", None, 200),
    ("PUT", "/connectors/a%2Fb/resume", None, 202),
    ("DELETE", "/connectors/a%2Fb", None, 204),
    ("PUT", "/connectors/none/stop", None, 404),
    ("POST", "/connectors/none/restart", None, 404),
    ("POST", "/connectors/none/tasks/0/restart", None, 404),
    ("POST", "/connectors", {"name": "bad"}, 400),
    ("POST", "/connectors", {"name": "bad", "config": {"connector.class": SINK}, "initial_state": "NOPE"}, 400),
    ("POST", "/connectors", {"name": "bad", "config": {"connector.class": SINK}, "more": 1}, 400),
    ("POST", "/connectors", {"name": "bad", "config": {"connector.class": {}}}, 400),
    ("POST", "/connectors", b"{nope", 400),
    ("POST", "/connectors", b"", 400),
    ("POST", "/connectors", b"[]", 400),
    ("POST", "/connectors", b" " * 10_000_000, 413),
    ("PUT", "/connector-plugins/CloudPubSubSinkConnector/config/validate", {}, 400),
]
