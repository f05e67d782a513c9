#!/usr/bin/env python3
"""Compares our Avro decoder with fastavro: random schemas and values, written by fastavro and read by both.

What is expected is what fastavro's own reader returns, put into JSON by the rules of docs/formats.md, which are written
here once more. Every value is also cut at a random byte, which must be a reject. Exit code 1 at the first difference.
"""

import argparse
import base64
import io
import json
import struct
import sys
import tempfile
import time
import uuid
from datetime import date, datetime, time as time_of_day, timedelta
from decimal import Decimal
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
import decoder  # noqa: E402
import environment  # noqa: E402

VALUES_OF_A_CASE = 4
# What fastavro cannot write although it is valid, such as a pair of name and value deep inside a branch of a union.
MAX_SKIPPED = 0.03
CASES_OF_A_BATCH = 200
# Of this many cases, one is also written as a file.
CASES_OF_A_FILE = 10
CODECS = ["null", "deflate", "snappy", "zstandard"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cases", type=int, default=10_000, help="schemas (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first case (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="begin no more cases after this long")
    parser.add_argument("--binary", type=Path, default=decoder.BINARY, help="the built decoder")
    arguments = parser.parse_args()
    environment.enter(__file__)
    started, cases, values, skipped = time.monotonic(), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for first in range(arguments.seed, arguments.seed + arguments.cases, CASES_OF_A_BATCH):
            if arguments.seconds and time.monotonic() - started > arguments.seconds:
                break
            seeds = range(first, min(first + CASES_OF_A_BATCH, arguments.seed + arguments.cases))
            work = []
            for seed in seeds:
                try:
                    work.extend(_work(seed, Path(folder)))
                except (ValueError, AttributeError):
                    skipped += 1
            _compare(arguments.binary, work)
            cases += len(seeds)
            values += sum(len(expected) for _, _, expected in work)
    print(f"avro oracle: {cases - skipped} schemas with {values} values agree with fastavro, {skipped} were skipped")
    sys.exit(0 if cases and skipped <= cases * MAX_SKIPPED else 1)


def _work(seed: int, folder: Path) -> list:
    """The lines for the decoder of one case, each with the seed and what is expected."""
    import fastavro
    from avro_cases import Case

    case = Case(seed)
    names = {}
    for reference in case.references:
        fastavro.parse_schema(reference, names)
    parsed = fastavro.parse_schema(case.schema, names)
    values = [case.value() for _ in range(VALUES_OF_A_CASE)]
    written, expected = [], []
    for value in values:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, value)
        read = fastavro.schemaless_reader(io.BytesIO(out.getvalue()), parsed, return_named_type=True)
        written.append(out.getvalue())
        expected.append(_json(case, case.schema, read, ""))
        if data := out.getvalue():
            written.append(data[: case.random.randrange(len(data))])
            expected.append("truncated")
    # Avro's references are found by the names of the types in them.
    references = [("", json.dumps(reference)) for reference in case.references]
    records = [{"payload": base64.b64encode(data).decode()} for data in written]
    line = {"avro": {"schema": json.dumps(case.schema), "references": references, "records": records}}
    work = [(seed, line, expected)]
    if seed % CASES_OF_A_FILE == 0 and not case.references:
        file = folder / f"{seed}.avro"
        codec = CODECS[seed // CASES_OF_A_FILE % len(CODECS)]
        with file.open("wb") as out:
            fastavro.writer(out, parsed, values * 5, codec=codec, sync_interval=case.random.choice([1, 100, 16_000]))
        with file.open("rb") as written_file:
            read = list(fastavro.reader(written_file, return_named_type=True))
        work.append((seed, {"file": str(file)}, [_json(case, case.schema, value, "") for value in read]))
    return work


def _compare(binary: Path, work: list) -> None:
    answers = decoder.transcode(binary, [line for _, line, _ in work])
    for (seed, line, expected), answer in zip(work, answers, strict=True):
        if "error" in answer:
            sys.exit(f"avro oracle: seed {seed}: {answer['error']}\n{json.dumps(line)}")
        decoded = answer["records"]
        if len(decoded) != len(expected):
            sys.exit(f"avro oracle: seed {seed}: {len(decoded)} values instead of {len(expected)}")
        for index, (ours, theirs) in enumerate(zip(decoded, expected)):
            if not _is_same(ours, theirs):
                where = line["file"] if "file" in line else line["avro"]["records"][index]["payload"]
                schema = "in the file" if "file" in line else line["avro"]["schema"]
                sys.exit(f"avro oracle: seed {seed}\nschema   {schema}\nvalue    {where}\nours     {ours}\nfastavro {theirs}")


def _is_same(ours, theirs) -> bool:
    if theirs == "truncated":
        return ours.get("reject") == "truncated"
    if "json" not in ours:
        return False
    # Members as pairs, so that order and duplicates count, and numbers as they are written.
    parsed = json.loads(ours["json"], object_pairs_hook=Members, parse_int=Number, parse_float=Number, parse_constant=None)
    return _matches(parsed, theirs)


class Members(list):
    """The members of an object."""


class Number(str):
    """A number as it is written."""


class Single(float):
    """A float of four bytes."""


def _matches(ours, theirs) -> bool:
    match theirs:
        case Members():
            return (
                isinstance(ours, Members)
                and len(ours) == len(theirs)
                and all(a == c and _matches(b, d) for (a, b), (c, d) in zip(ours, theirs))
            )
        case list():
            return type(ours) is list and len(ours) == len(theirs) and all(map(_matches, ours, theirs))
        case None | bool():
            return ours is theirs
        case str():
            return type(ours) is str and ours == theirs
    if not isinstance(ours, Number):
        return False
    match theirs:
        case Single():
            return struct.pack("<f", float(ours)) == struct.pack("<f", theirs)
        case float():
            return struct.pack("<d", float(ours)) == struct.pack("<d", theirs)
        case Decimal():
            return ours == format(theirs, "f")
        case _:
            return ours == str(theirs)


def _json(case, schema, value, space: str):
    """The JSON of what fastavro read, by the rules."""
    schema, full = case.definition(schema, space)
    if isinstance(schema, list):
        return _of_branch(case, schema, value, space)
    if isinstance(schema, str):
        schema = {"type": schema}
    match schema["type"]:
        case "record":
            inner = full.rpartition(".")[0]
            return Members((f["name"], _json(case, f["type"], value[f["name"]], inner)) for f in schema["fields"])
        case "array":
            return [_json(case, schema["items"], item, space) for item in value]
        case "map":
            return Members((key, _json(case, schema["values"], item, space)) for key, item in value.items())
    return _plain(schema["type"], schema.get("logicalType"), value)


def _of_branch(case, branches: list, value, space: str):
    if isinstance(value, tuple):
        name, value = value
        return _json(case, case.named[name], value, name.rpartition(".")[0])
    for branch in branches:
        kind = branch if isinstance(branch, str) else branch["type"]
        logical = None if isinstance(branch, str) else branch.get("logicalType")
        if _is_of(kind, logical, value):
            return _json(case, branch, value, space)
    raise AssertionError(f"no branch of {branches} has {value!r}")


def _is_of(kind: str, logical: str | None, value) -> bool:
    match value:
        case None:
            return kind == "null"
        case bool():
            return kind == "boolean"
        case int():
            return kind in ("int", "long") and logical in (None, "timestamp-nanos", "local-timestamp-nanos", "unknown", "timestamp-millis")
        case float():
            return kind in ("float", "double")
        case str():
            return kind == "string" and logical != "uuid"
        case bytes():
            return kind == "bytes" and logical != "decimal"
        case Decimal():
            return logical == "decimal"
        case uuid.UUID():
            return logical == "uuid"
        case datetime():
            return logical is not None and "timestamp" in logical and "nanos" not in logical
        case date():
            return logical == "date" and kind == "int"
        case time_of_day():
            return logical is not None and logical.startswith("time-")
        case list():
            return kind == "array"
        case dict():
            return kind == "map"
    raise AssertionError(value)


def _plain(kind: str, logical: str | None, value):
    match kind, logical:
        case "float", _:
            return Single(value)
        case "fixed", "duration":
            return _duration(*struct.unpack("<III", value))
        case "fixed", "uuid" if isinstance(value, bytes):
            return str(uuid.UUID(bytes=value))
        case "bytes", "big-decimal":
            length = value[0] // 2
            unscaled = int.from_bytes(value[1 : 1 + length], "big", signed=True)
            scale = value[-1] // 2 if value[-1] % 2 == 0 else -(value[-1] // 2) - 1
            return _scaled(unscaled, scale)
        case "long", "timestamp-nanos":
            return _nanos(value) + "Z"
        case "long", "local-timestamp-nanos":
            return _nanos(value)
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case uuid.UUID():
            return str(value)
        case datetime():
            text = value.replace(tzinfo=None).isoformat(timespec="milliseconds" if "millis" in logical else "microseconds")
            return text + ("Z" if value.tzinfo else "")
        case date():
            return value.isoformat()
        case time_of_day():
            return value.isoformat(timespec="milliseconds" if "millis" in logical else "microseconds")
    return value


def _nanos(value: int) -> str:
    second, fraction = divmod(value, 1_000_000_000)
    return f"{(datetime(1970, 1, 1) + timedelta(seconds=second)).isoformat()}.{fraction:09}"


def _scaled(unscaled: int, scale: int):
    if scale <= 0:
        return unscaled * 10**-scale
    digits = str(abs(unscaled)).rjust(scale + 1, "0")
    return Decimal(f"{'-' if unscaled < 0 else ''}{digits[:-scale]}.{digits[-scale:]}")


def _duration(months: int, days: int, millis: int) -> str:
    text = "P" + (f"{months}M" if months else "") + (f"{days}D" if days else "")
    if millis or text == "P":
        text += f"T{millis // 1000}" + (f".{millis % 1000:03}" if millis % 1000 else "") + "S"
    return text


if __name__ == "__main__":
    main()
