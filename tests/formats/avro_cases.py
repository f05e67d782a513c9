"""Random Avro schemas and values of them, by seed."""

import random
import struct
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Plain and logical types: the attributes, and the types that Python's values do not distinguish in one union.
SIMPLE = [
    ("null", {}, "null"),
    ("boolean", {}, "boolean"),
    ("int", {}, "whole"),
    ("long", {}, "whole"),
    ("float", {}, "float"),
    ("double", {}, "float"),
    ("bytes", {}, "bytes"),
    ("string", {}, "text"),
    ("int", {"logicalType": "date"}, "date"),
    ("int", {"logicalType": "time-millis"}, "time"),
    ("long", {"logicalType": "time-micros"}, "time"),
    ("long", {"logicalType": "timestamp-millis"}, "datetime"),
    ("long", {"logicalType": "timestamp-micros"}, "datetime"),
    ("long", {"logicalType": "timestamp-nanos"}, "whole"),
    ("long", {"logicalType": "local-timestamp-millis"}, "datetime"),
    ("long", {"logicalType": "local-timestamp-micros"}, "datetime"),
    ("long", {"logicalType": "local-timestamp-nanos"}, "whole"),
    ("string", {"logicalType": "uuid"}, "uuid"),
    ("bytes", {"logicalType": "big-decimal"}, "bytes"),
    ("bytes", {"logicalType": "decimal"}, "decimal"),
    # Not valid for their types, so ignored.
    ("string", {"logicalType": "date"}, "text"),
    ("int", {"logicalType": "timestamp-millis"}, "whole"),
    ("bytes", {"logicalType": "uuid"}, "bytes"),
    ("long", {"logicalType": "unknown"}, "whole"),
]
SPACES = ["", "com.shop", "com.shop.inner", "x"]
TEXTS = ["", "a", "za\u017c\u00f3\u0142\u0107", '"quoted" \\ back', "line\nfeed\ttab\r\x00\x1f", "\U0001f600", "</script>\u2028", "plain " * 40]
FLOATS = [0.0, -0.0, 1.0, 0.1, -1.5, 1e-7, 1e16, 1e21, 1e300, 5e-324, 123456789.125, 3.4028234663852886e38, 1e-45]


class Case:
    """A schema, the texts that it refers to, and the names that it defines."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        # Full name -> definition, with all names full.
        self.named = {}
        # Those that are closed, so that values of them end.
        self.closed = []
        self.references = [self._named(2, "") for _ in range(self.random.choice([0, 0, 0, 1, 2]))]
        # A schema without a name cannot be given to fastavro together with further ones.
        is_named = self.references or self.random.random() < 0.8
        self.schema = self._named(4, "") if is_named else self._type(4, "")

    def value(self):
        return self._value(self.schema, 0, "")

    def _pick(self, items):
        return self.random.choice(items)

    def _type(self, depth: int, space: str):
        kind = self.random.random()
        if depth == 0 or kind < 0.4:
            return self._simple(self._pick(SIMPLE))
        if kind < 0.5 and (usable := [name for name in self.named if self._shown(name, space)]):
            # A type that is still open is its own part: only where a value can end.
            name = self._pick(usable)
            if name in self.closed:
                return self._shown(name, space)
            return self._pick([["null", self._shown(name, space)], {"type": "array", "items": self._shown(name, space)}])
        if kind < 0.62:
            return self._union(depth, space)
        if kind < 0.72:
            return {"type": "array", "items": self._type(depth - 1, space)}
        if kind < 0.8:
            return {"type": "map", "values": self._type(depth - 1, space)}
        return self._named(depth, space)

    def _simple(self, simple: tuple):
        name, attributes, _ = simple
        if attributes.get("logicalType") == "decimal":
            precision = self._pick([1, 4, 9, 18, 19, 38, 76, 300])
            attributes = {**attributes, "precision": precision, "scale": self.random.randint(0, precision)}
            if attributes["scale"] == 0 and self.random.random() < 0.5:
                del attributes["scale"]
        if not attributes:
            return self._pick([name, {"type": name}])
        return {"type": name, **attributes, "confluent:tags": ["PII"], "note": 1}

    def _union(self, depth: int, space: str):
        branches, seen = [], set()
        for _ in range(self.random.randint(1, 4)):
            if self.random.random() < 0.6:
                simple = self._pick(SIMPLE)
                name, _, group = simple
                # The base may occur once in a union, and Python's type must lead back to the branch.
                # fastavro writes a plain number as whatever number there is, also as a time.
                marks = {name, group}
                if name in ("int", "long"):
                    marks |= {"int", "long"} if group == "whole" else set()
                if marks & seen:
                    continue
                seen |= marks
                branches.append(self._simple(simple))
            elif self.random.random() < 0.3:
                container = self._pick(["array", "map"])
                if container not in seen:
                    seen.add(container)
                    inner = {"array": "items", "map": "values"}[container]
                    branches.append({"type": container, inner: self._type(depth - 1, space)})
            else:
                branches.append(self._named(depth - 1, space))
        return branches or ["null"]

    def _shown(self, name: str, space: str):
        """How a name is written inside a namespace; nothing leads from a namespace to a name without one."""
        of_name, _, short = name.rpartition(".")
        if of_name == space:
            return self._pick([short, name])
        return name if of_name else None

    def _named(self, depth: int, space: str):
        number = len(self.named)
        # fastavro loses an empty namespace inside of another when it writes a file.
        own = self._pick(SPACES) or space
        short = f"T{number}"
        if own == space and self.random.random() < 0.5:
            header = {"name": short}
        elif own and self.random.random() < 0.5:
            header = {"name": f"{own}.{short}", "namespace": "ignored"}
        else:
            header = {"name": short, "namespace": own}
        full = f"{own}.{short}" if own else short
        if self.random.random() < 0.3:
            header["aliases"] = [f"Old{number}"]
        if self.random.random() < 0.3:
            header["doc"] = 'what it is: "quoted"'
        kind = self._pick(["record"] * 5 + ["enum", "fixed"]) if depth > 0 else self._pick(["enum", "fixed"])
        definition = {"type": kind, **header}
        self.named[full] = definition
        if kind == "enum":
            definition["symbols"] = [f"S{i}_{number}" for i in range(self.random.randint(1, 90))]
            if self.random.random() < 0.3:
                definition["default"] = definition["symbols"][0]
        elif kind == "fixed":
            logical = self._pick([None, None, "decimal", "duration", "uuid"])
            definition["size"] = {"duration": 12, "uuid": 16}.get(logical) or self.random.choice([0, 1, 2, 7, 16, 40])
            if logical == "decimal":
                precision = max(1, int((8 * definition["size"] - 1) * 0.30103))
                if definition["size"] > 0:
                    definition |= {"logicalType": logical, "precision": precision, "scale": self.random.randint(0, precision)}
            elif logical:
                definition["logicalType"] = logical
        else:
            definition["fields"] = [self._field(index, depth, own) for index in range(self.random.randint(0, 6))]
        self.closed.append(full)
        return definition

    def _field(self, index: int, depth: int, space: str):
        field = {"name": self._pick(["f", "_F", "user_id", "Name"]) + str(index), "type": self._type(depth - 1, space)}
        if self.random.random() < 0.2:
            field |= {"doc": "d", "aliases": ["old"], "order": "ignore", "confluent:tags": ["PII"]}
        if field["type"] == "string" and self.random.random() < 0.5:
            field["default"] = "x"
        if isinstance(field["type"], list) and field["type"][0] == "null":
            field["default"] = None
        return field

    def definition(self, schema, space: str):
        """The definition of a name, and the namespace inside it; any other type itself."""
        if isinstance(schema, str):
            full = schema if "." in schema or not space else f"{space}.{schema}"
            if full in self.named:
                return self.named[full], full
        elif isinstance(schema, dict) and schema["type"] in ("record", "enum", "fixed"):
            name = schema["name"]
            own = schema.get("namespace", space)
            return schema, name if "." in name or not own else f"{own}.{name}"
        return schema, None

    def _value(self, schema, depth: int, space: str):
        schema, full = self.definition(schema, space)
        if isinstance(schema, list):
            return self._branch(schema, depth, space)
        if isinstance(schema, str):
            schema = {"type": schema}
        kind = schema["type"]
        if kind == "record":
            inner = full.rpartition(".")[0]
            return {field["name"]: self._value(field["type"], depth + 1, inner) for field in schema["fields"]}
        if kind == "enum":
            return self._pick(schema["symbols"])
        if kind == "array":
            return [self._value(schema["items"], depth + 1, space) for _ in range(self._length(depth))]
        if kind == "map":
            keys = {self._pick(TEXTS) + str(i) for i in range(self._length(depth))}
            return {key: self._value(schema["values"], depth + 1, space) for key in sorted(keys)}
        return self._plain(kind, schema)

    def _branch(self, branches: list, depth: int, space: str):
        branch = self._pick(branches)
        if depth > 8 and "null" in branches:
            return None
        value = self._value(branch, depth, space)
        # Named types by name: another branch could take the value, too.
        _, full = self.definition(branch, space)
        return (full, value) if full else value

    def _length(self, depth: int) -> int:
        return self._pick([0, 1, 2, 3, 70 if depth < 2 and self.random.random() < 0.3 else 2]) if depth < 6 else 0

    def _plain(self, kind: str, schema: dict):
        logical = schema.get("logicalType")
        if logical == "decimal":
            return self._decimal(schema["precision"], schema.get("scale", 0))
        match kind, logical:
            case "null", _:
                return None
            case "boolean", _:
                return self._pick([True, False])
            case "int", "date":
                return date(1, 1, 1) + timedelta(days=self.random.randint(0, 3_652_058))
            case "int", "time-millis":
                return time(*self._clock(), self.random.randrange(1000) * 1000)
            case "long", "time-micros":
                return time(*self._clock(), self.random.randrange(1_000_000))
            case "long", "timestamp-millis":
                return self._instant(1000)
            case "long", "timestamp-micros":
                return self._instant(1)
            case "long", "local-timestamp-millis":
                return self._instant(1000).replace(tzinfo=None)
            case "long", "local-timestamp-micros":
                return self._instant(1).replace(tzinfo=None)
            case "string", "uuid":
                return uuid.UUID(int=self.random.getrandbits(128))
            case "bytes", "big-decimal":
                return _big_decimal(self.random.randint(-(10**30), 10**30), self.random.randint(-30, 60))
            case "int", _:
                return self._whole(31)
            case "long", _:
                return self._whole(63)
            case "float", _:
                value = self._pick(FLOATS + [self.random.gauss(0, 1e6)])
                return struct.unpack("<f", struct.pack("<f", value))[0] if abs(value) < 3.5e38 else 1.0
            case "double", _:
                return self._pick(FLOATS + [self.random.gauss(0, 1e6), self.random.random()])
            case "bytes", _:
                return self.random.randbytes(self._pick([0, 1, 2, 3, 4, 100]))
            case "fixed", _:
                return self.random.randbytes(schema["size"])
            case "string", _:
                return self._pick(TEXTS) + self._pick(TEXTS)
        raise AssertionError(schema)

    def _whole(self, bits: int) -> int:
        return self._pick([0, -1, 2**bits - 1, -(2**bits), self.random.getrandbits(self.random.randint(1, bits))])

    def _clock(self) -> tuple:
        return self.random.randrange(24), self.random.randrange(60), self.random.randrange(60)

    def _instant(self, step: int) -> datetime:
        micros = self.random.randint(-62_135_596_800_000_000, 253_402_300_799_999_999)
        if self.random.random() < 0.5:
            micros = self.random.randint(0, 2_000_000_000_000_000)
        return EPOCH + timedelta(microseconds=micros - micros % step)

    def _decimal(self, precision: int, scale: int) -> Decimal:
        digits = self.random.randint(0, precision)
        whole = self.random.randrange(10**digits) * self._pick([1, -1])
        text = str(abs(whole)).rjust(scale + 1, "0")
        point = len(text) - scale
        return Decimal(("-" if whole < 0 else "") + text[:point] + ("." + text[point:] if scale else ""))


def _big_decimal(unscaled: int, scale: int) -> bytes:
    """The bytes of a big-decimal, which fastavro does not know."""
    length = unscaled.bit_length() // 8 + 1
    return bytes([2 * length]) + unscaled.to_bytes(length, "big", signed=True) + bytes([_zigzag(scale)])


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1
