#!/usr/bin/env python3
"""Compares Protobuf records decoded by this project with Google's library: random schemas and values, by seed.

The schemas are compiled by protoc for Google's side, and from their text by ours. Exit code 1 if anything differs.
"""

import argparse
import base64
import importlib.resources
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
import decoder  # noqa: E402
import environment  # noqa: E402

MAX_FAILURES_SHOWN = 5


def main() -> None:
    arguments = _arguments()
    environment.enter(__file__)
    sys.exit(_compare(arguments))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--schemas", type=int, default=200, help="schemas (default: %(default)s)")
    parser.add_argument("--records", type=int, default=25, help="records of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first schema (default: %(default)s)")
    parser.add_argument("--binary", type=Path, default=decoder.BINARY, help="the built decoder")
    return parser.parse_args()


def _compare(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    import proto_schemas

    schemas = [proto_schemas.Schema(seed) for seed in range(arguments.seed, arguments.seed + arguments.schemas)]
    pool = _compiled(schemas)
    cases = [_cases(schema, pool, arguments.records) for schema in schemas]
    answers = _decoded(arguments.binary, schemas, cases)
    counts, failures = Counter(), []
    for schema, records, answer in zip(schemas, cases, answers, strict=True):
        if "error" in answer:
            failures.append(f"{schema.name}: {answer['error']}\n{schema.text}")
            continue
        for record, outcome in zip(records, answer["records"], strict=True):
            failure = _failure(record, outcome, counts)
            if failure:
                failures.append(f"{schema.name} {record['message']}: {failure}\n{record['payload']}\n{schema.text}")
    # The shortest are the easiest to read.
    for failure in sorted(failures, key=len)[:MAX_FAILURES_SHOWN]:
        print(failure, flush=True)
    outcomes = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    print(f"protobuf: {outcomes}; {time.monotonic() - started:.0f} s")
    print(f"protobuf: {sum(counts.values()) - len(failures)} passed, {len(failures)} failed", flush=True)
    return 1 if failures or not counts["json"] else 0


def _compiled(schemas: list):
    """A pool of descriptors with all schemas, which protoc has compiled."""
    import grpc_tools.protoc
    from google.protobuf import descriptor_pb2, descriptor_pool

    google = importlib.resources.files("grpc_tools") / "_proto"
    decimal = environment.ROOT / "crates/codec/src/protobuf/proto/decimal.proto"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "confluent/type").mkdir(parents=True)
        (folder / "confluent/type/decimal.proto").write_text(decimal.read_text())
        for schema in schemas:
            for name, text in {**schema.references, schema.name: schema.text}.items():
                (folder / name).write_text(text)
        names = [schema.name for schema in schemas]
        found = folder / "set.desc"
        flags = [f"-I{folder}", f"-I{google}", "--include_imports", f"--descriptor_set_out={found}"]
        if grpc_tools.protoc.main(["protoc", *flags, *names]) != 0:
            sys.exit("protobuf: protoc refuses a generated schema")
        files = descriptor_pb2.FileDescriptorSet.FromString(found.read_bytes()).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    return pool


def _cases(schema, pool, count: int) -> list:
    import proto_values
    from google.protobuf import message_factory

    rand = random.Random(schema.package)
    file = pool.FindFileByName(schema.name)
    roots, known = _roots(file), _known(file)
    cases = []
    for _ in range(count):
        indexes, found = rand.choice(roots)
        kind = message_factory.GetMessageClass(found)
        payloads = []
        for _ in range(2):
            message = kind()
            proto_values.fill(message, rand, known)
            # The order of a map would otherwise change from process to process.
            payloads.append(message.SerializeToString(deterministic=True))
        payload, is_garbage = proto_values.disturb(*payloads, rand)
        cases.append(
            {
                "message": found.full_name,
                "payload": payload,
                "indexes": _framed(indexes),
                "in_header": rand.random() < 0.3,
                "is_garbage": is_garbage,
                "expected": proto_values.expected(kind, payload, pool),
            }
        )
    return cases


def _roots(file) -> list:
    """The messages of a file with their indexes. Those of a map's entries count, but are no records."""
    roots = [((index,), message) for index, message in enumerate(file.message_types_by_name.values())]
    for indexes, message in roots:
        groups = {field.message_type for field in message.fields if field.type == field.TYPE_GROUP}
        nested = [found for found in message.nested_types]
        declared = [found for found in nested if not found.GetOptions().map_entry and found not in groups]
        # Where other clients count differently, ours refuses the record.
        roots += [((*indexes, at), found) for at, found in enumerate(declared) if nested.index(found) == at]
    return roots


def _known(file) -> list:
    """The well-known types that the schema imports, so that ours knows them in an `Any`."""
    files, names = [file], ("Duration", "Empty", "StringValue", "Struct")
    for one in files:
        files += [found for found in one.dependencies if found not in files]
    messages = [message for one in files for message in one.message_types_by_name.values()]
    return [message for message in messages if message.full_name in {f"google.protobuf.{name}" for name in names}]


def _framed(indexes: tuple) -> bytes:
    if indexes == (0,):
        return b"\0"
    return bytes(2 * number for number in (len(indexes), *indexes))


def _decoded(binary: Path, schemas: list, cases: list) -> list:
    def text(value: bytes) -> str:
        return base64.b64encode(value).decode()

    work = []
    for schema, records in zip(schemas, cases, strict=True):
        sent = []
        for record in records:
            payload, indexes = record["payload"], record["indexes"]
            if record["in_header"]:
                sent.append({"payload": text(payload), "header": text(indexes)})
            else:
                sent.append({"payload": text(indexes + payload)})
        references = list(schema.references.items())
        work.append({"protobuf": {"schema": schema.text, "references": references, "records": sent}})
    return decoder.transcode(binary, work)


def _failure(record: dict, outcome: dict, counts: Counter) -> str | None:
    import proto_values

    expected = record["expected"]
    counts["json" if "json" in outcome else outcome["reject"]] += 1
    if "reject" in outcome:
        return None if expected.is_reject else f"{outcome['reject']} instead of {expected.value}"
    if expected.is_reject:
        return f"{outcome['json']} instead of a reject"
    ours = json.loads(outcome["json"], parse_float=proto_values.Number, parse_int=proto_values.Number)
    failure = proto_values.differs(ours, expected.value)
    if failure and record["is_garbage"] and ": members" in failure:
        # Google's library in C, unlike those in C++ and Java, drops entries of maps that have unknown fields.
        counts["json"] -= 1
        return None
    return failure


if __name__ == "__main__":
    main()
