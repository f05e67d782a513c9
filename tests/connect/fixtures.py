"""What the tests of `aqueduct connect` share: topics and records in Kafka, subscriptions in the emulator, credentials."""

import base64
import json
import os
import pathlib
import subprocess
import urllib.request

PROJECT = "test-project"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or pathlib.Path(__file__).resolve().parents[2] / "target")


def kafka(tool, *arguments, text=None):
    """One of Kafka's own tools."""
    libs = TARGET / "services/kafka/libs/*"
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", libs, f"org.apache.kafka.tools.{tool}", "--bootstrap-server", os.environ["KAFKA_BOOTSTRAP"]]
    done = subprocess.run([*map(str, command), *arguments], input=text, text=True, capture_output=True, timeout=120)
    if done.returncode:
        raise SystemExit(f"{tool} failed: {done.stdout} {done.stderr}")
    return done.stdout


def create_topic(name, partitions):
    kafka("TopicCommand", "--create", "--topic", name, "--partitions", str(partitions))


def produce(topic, records):
    """Records as key and value; a tab separates them."""
    lines = "".join(f"{key}\t{value}\n" for key, value in records)
    kafka("ConsoleProducer", "--topic", topic, "--property", "parse.key=true", text=lines)


def pubsub(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    url = f"http://{os.environ['PUBSUB_EMULATOR_HOST']}/v1/projects/{PROJECT}/{path}"
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"{}")


class Reader:
    """A Pub/Sub topic with a subscription, and everything that it has received: data, attributes and ordering key."""

    def __init__(self, topic):
        pubsub("PUT", f"topics/{topic}", {})
        pubsub("PUT", f"subscriptions/{topic}", {"topic": f"projects/{PROJECT}/topics/{topic}"})
        self.name, self.messages, self.numbers = topic, [], set()

    def pull(self):
        answer = pubsub("POST", f"subscriptions/{self.name}:pull", {"maxMessages": 500, "returnImmediately": True})
        received = answer.get("receivedMessages", [])
        if received:
            pubsub("POST", f"subscriptions/{self.name}:acknowledge", {"ackIds": [one["ackId"] for one in received]})
        for one in received:
            message = one["message"]
            # The emulator may deliver a message twice.
            if message["messageId"] in self.numbers:
                continue
            self.numbers.add(message["messageId"])
            data = base64.b64decode(message.get("data", "")).decode()
            self.messages.append((data, message.get("attributes", {}), message.get("orderingKey", "")))
        return self.messages

    def ids(self):
        return {json.loads(data)["id"] for data, _, _ in self.pull()}


def service_account(folder, token_uri="http://127.0.0.1:1/token"):
    """A key of a made-up account, so that a sink can start without Google."""
    path = os.path.join(folder, "account.pem")
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    with open(path) as key:
        account = {
            "type": "service_account", "project_id": PROJECT, "private_key_id": "1", "private_key": key.read(),
            "client_email": f"test@{PROJECT}.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri,
        }
    file = os.path.join(folder, "account.json")
    with open(file, "w") as out:
        json.dump(account, out)
    return file


def check(what, is_true, more=""):
    if not is_true:
        raise SystemExit(f"failed: {what} {more}")
    print(f"ok: {what}")
