"""Writes records with Confluent's own serializers, which register their schemas, and prints what a reader has to find.

    registry_writer.py PREFIX all       topics PREFIX-avro, PREFIX-protobuf, PREFIX-json: IDs before the payload
    registry_writer.py PREFIX header    topics PREFIX-avro-header, PREFIX-protobuf-header: GUIDs in headers

Reads KAFKA_BOOTSTRAP and SCHEMA_REGISTRY. Each line of its output is one record: topic, offset, and the JSON of key and
value, which is the input of the serializers, not what any decoder has made of it.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
import environment  # noqa: E402

environment.enter(__file__)

import datetime  # noqa: E402
import decimal  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import tempfile  # noqa: E402
import uuid  # noqa: E402

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.schema_registry import (  # noqa: E402
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    header_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import AvroSerializer  # noqa: E402
from confluent_kafka.schema_registry.json_schema import JSONSerializer  # noqa: E402
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402
from grpc_tools import protoc  # noqa: E402

MONEY = {
    "type": "record",
    "name": "Money",
    "namespace": "shop.common",
    "fields": [
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "currency", "type": {"type": "enum", "name": "Currency", "symbols": ["PLN", "EUR"]}},
    ],
}
PURCHASE = {
    "type": "record",
    "name": "Purchase",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "user", "type": ["null", "string"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "price", "type": "shop.common.Money"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "long"}},
        {"name": "raw", "type": "bytes"},
        {"name": "ratio", "type": "double"},
    ],
}
KEY = {"type": "record", "name": "Key", "namespace": "shop", "fields": [{"name": "shop", "type": "int"}]}
VIEW = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "View",
    "type": "object",
    "properties": {"page": {"type": "string"}, "seconds": {"type": "number"}},
}
PROTOS = {
    "shop/common/money.proto": """
        syntax = "proto3";
        package shop.common;
        message Money { int64 units = 1; string currency = 2; }
    """,
    "shop/events.proto": """
        syntax = "proto3";
        package shop;
        import "google/protobuf/timestamp.proto";
        import "shop/common/money.proto";
        message View { string page = 1; }
        message Purchase {
          message Line { string sku = 1; uint32 pieces = 2; }
          enum Kind { KIND_UNKNOWN = 0; KIND_GIFT = 1; }
          string id = 1;
          optional string user = 2;
          google.protobuf.Timestamp at = 3;
          shop.common.Money price = 4;
          repeated Line lines = 5;
          map<string, int64> counts = 6;
          bytes raw = 7;
          Kind kind = 8;
          oneof payment { string card = 9; bool cash = 10; }
        }
    """,
}
COUNT = 50


class Topic:
    """Writes to partition 0 of one topic."""

    def __init__(self, name: str):
        self.name = name
        self.producer = Producer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"]})

    def write(self, key, value, expected_key, expected_value, headers=()):
        line = {"topic": self.name, "key": expected_key, "value": expected_value}

        def delivered(error, message):
            if error:
                sys.exit(f"{self.name}: {error}")
            print(json.dumps(line | {"offset": message.offset()}))

        self.producer.produce(self.name, value, key, partition=0, headers=list(headers), on_delivery=delivered)

    def flush(self):
        self.producer.flush()


def avro_records():
    """Values as fastavro takes them, and as JSON."""
    for n in range(COUNT):
        ident = uuid.UUID(int=n)
        at = datetime.datetime(2026, 1, 31, 12, 34, n % 60, 789_000, tzinfo=datetime.timezone.utc)
        amount = decimal.Decimal(n * 1_234_567) / 100 - 5_000
        value = {
            "id": str(ident),
            "user": None if n % 3 == 0 else f"usér-{n}",
            "at": at,
            "day": at.date(),
            "price": {"amount": amount, "currency": "PLN" if n % 2 else "EUR"},
            "tags": [f"t{i}" for i in range(n % 4)],
            "counts": {f"k{i}": -(2**40) * i for i in range(n % 3)},
            "raw": bytes([n, 255, 0]),
            "ratio": n / 7,
        }
        text = value | {
            "at": f"2026-01-31T12:34:{n % 60:02}.789Z",
            "day": "2026-01-31",
            "price": {"amount": float(amount), "currency": value["price"]["currency"]},
            "raw": base64_of(value["raw"]),
        }
        yield {"shop": n}, value, text


def base64_of(raw: bytes) -> str:
    import base64

    return base64.b64encode(raw).decode()


def write_avro(client, topic: str, conf: dict, with_references: bool) -> None:
    schema, references = PURCHASE, []
    if with_references:
        client.register_schema(f"{topic}-money", Schema(json.dumps(MONEY), "AVRO"))
        references = [SchemaReference("shop.common.Money", f"{topic}-money", 1)]
    else:
        fields = [field | {"type": MONEY} if field["name"] == "price" else field for field in PURCHASE["fields"]]
        schema = PURCHASE | {"fields": fields}
    serializer = AvroSerializer(client, Schema(json.dumps(schema), "AVRO", references), conf=conf)
    key_serializer = AvroSerializer(client, json.dumps(KEY), conf=conf)
    out = Topic(topic)
    for key, value, text in avro_records():
        headers = []
        key_bytes = key_serializer(key, SerializationContext(topic, MessageField.KEY, headers))
        value_bytes = serializer(value, SerializationContext(topic, MessageField.VALUE, headers))
        out.write(key_bytes, value_bytes, key, text, headers)
    out.flush()


def protobuf_module():
    """The classes of PROTOS, made by Google's compiler."""
    folder = Path(tempfile.mkdtemp())
    for name, text in PROTOS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    include = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{folder}", f"-I{include}", f"--python_out={folder}", *PROTOS]
    if protoc.main(arguments):
        sys.exit("protoc refuses the schemas")
    sys.path.insert(0, str(folder))
    return importlib.import_module("shop.events_pb2")


def write_protobuf(client, topic: str, conf: dict) -> None:
    events = protobuf_module()
    kinds = [events.View, events.Purchase, events.Purchase.Line]
    serializers = [ProtobufSerializer(kind, client, conf=conf | {"use.deprecated.format": False}) for kind in kinds]
    out = Topic(topic)
    for n in range(COUNT):
        message, text = protobuf_record(events, n)
        serializer = serializers[kinds.index(type(message))]
        headers = []
        value = serializer(message, SerializationContext(topic, MessageField.VALUE, headers))
        out.write(f"key-{n}".encode(), value, f"key-{n}", text, headers)
    out.flush()


def protobuf_record(events, n: int):
    """A message, and its JSON: fields without presence are written with their default."""
    if n % 5 == 0:
        return events.View(page=f"/{n}"), {"page": f"/{n}"}
    if n % 5 == 1:
        return events.Purchase.Line(sku=f"s{n}"), {"sku": f"s{n}", "pieces": 0}
    message = events.Purchase(id=str(n), raw=bytes([n, 250]), kind=n % 2)
    message.at.FromJsonString(f"2026-01-31T12:34:{n:02}Z")
    message.lines.add(sku="a", pieces=n)
    message.counts["k"] = -(2**60) - n
    text = {
        "id": str(n),
        "at": f"2026-01-31T12:34:{n:02}Z",
        "lines": [{"sku": "a", "pieces": n}],
        "counts": {"k": -(2**60) - n},
        "raw": base64_of(bytes([n, 250])),
        "kind": ["KIND_UNKNOWN", "KIND_GIFT"][n % 2],
    }
    if n % 5 == 2:
        message.user = text["user"] = ""
        message.price.units = 2**55
        text["price"] = {"units": 2**55, "currency": ""}
    if n % 5 == 3:
        message.cash = text["cash"] = False
    return message, text


def write_json(client, topic: str) -> None:
    serializer = JSONSerializer(json.dumps(VIEW), client)
    out = Topic(topic)
    for n in range(COUNT):
        value = {"page": f"/ä{n}", "seconds": n / 8}
        out.write(None, serializer(value, SerializationContext(topic, MessageField.VALUE)), None, value)
    out.flush()


def main() -> None:
    prefix, which = sys.argv[1:]
    client = SchemaRegistryClient({"url": os.environ["SCHEMA_REGISTRY"]})
    if which == "all":
        write_avro(client, f"{prefix}-avro", {}, with_references=True)
        write_protobuf(client, f"{prefix}-protobuf", {})
        write_json(client, f"{prefix}-json")
    else:
        conf = {"schema.id.serializer": header_schema_id_serializer}
        write_avro(client, f"{prefix}-avro-header", conf, with_references=False)
        write_protobuf(client, f"{prefix}-protobuf-header", conf)


main()
