"""Random Protobuf messages as bytes, also in forms that writers seldom choose, and the JSON that Google's library has."""

import decimal
import math
import random
import struct

from google.protobuf import descriptor, json_format, message_factory

FIELD = descriptor.FieldDescriptor
WIDE = {
    FIELD.TYPE_INT64,
    FIELD.TYPE_UINT64,
    FIELD.TYPE_SINT64,
    FIELD.TYPE_FIXED64,
    FIELD.TYPE_SFIXED64,
}
INTEGERS = {
    FIELD.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FIELD.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FIELD.CPPTYPE_UINT32: (0, 2**32 - 1),
    FIELD.CPPTYPE_UINT64: (0, 2**64 - 1),
}
TEXTS = ["", "a", 'quote " and \\', "line\nfeed\ttab", "\x00\x1f\x7f", "zażółć", "日本", "😀", "x" * 70]


class Expected:
    """What ours has to answer: JSON, or a reject."""

    def __init__(self, value=None, is_reject: bool = False):
        self.value, self.is_reject = value, is_reject


def fill(message, rand: random.Random, known: list, depth: int = 0) -> None:
    """Sets fields at random; required ones always. `known` are types that an `Any` can hold."""
    name = message.DESCRIPTOR.full_name
    if name.startswith("google.protobuf.") and _fill_known(message, rand, known, depth):
        return
    if name == "confluent.type.Decimal":
        value = rand.choice([0, 1, -1, 127, 128, -128, -129, rand.getrandbits(64), -rand.getrandbits(300)])
        message.value = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
        message.scale = rand.choice([0, 2, 5, -2, 40])
        return
    extensions = message.DESCRIPTOR.file.pool.FindAllExtensions(message.DESCRIPTOR)
    fields = [*message.DESCRIPTOR.fields, *sorted(extensions, key=lambda field: field.number)]
    for field in fields:
        if not field.is_required and (rand.random() < 0.4 or depth > 4):
            continue
        if field.is_extension and field.is_repeated:
            message.Extensions[field].extend(_scalar(field, rand) for _ in range(rand.randint(1, 3)))
        elif field.is_extension:
            message.Extensions[field] = _scalar(field, rand)
        elif field.is_repeated:
            _fill_repeated(message, field, rand, known, depth)
        elif field.cpp_type == FIELD.CPPTYPE_MESSAGE:
            inner = getattr(message, field.name)
            inner.SetInParent()
            fill(inner, rand, known, depth + 1)
        else:
            setattr(message, field.name, _scalar(field, rand))


def _fill_repeated(message, field, rand: random.Random, known: list, depth: int) -> None:
    values = getattr(message, field.name)
    count = rand.choice([0, 1, 2, 5]) if field.cpp_type == FIELD.CPPTYPE_MESSAGE else rand.choice([0, 1, 3, 20])
    if field.message_type is None:
        values.extend(_scalar(field, rand) for _ in range(count))
    elif not field.message_type.GetOptions().map_entry:
        for _ in range(count):
            fill(values.add(), rand, known, depth + 1)
    else:
        key, value = field.message_type.fields
        for _ in range(count):
            if value.cpp_type == FIELD.CPPTYPE_MESSAGE:
                fill(values[_scalar(key, rand)], rand, known, depth + 1)
            else:
                values[_scalar(key, rand)] = _scalar(value, rand)


def _fill_known(message, rand: random.Random, known: list, depth: int) -> bool:
    name = message.DESCRIPTOR.name
    if name == "Timestamp":
        # Sometimes outside of the years 1 to 9999.
        message.seconds = rand.choice([0, 1769862896, -1, -62135596800, 253402300799, rand.randint(-(10**12), 10**12)])
        message.nanos = rand.choice([0, 1, 1000, 789000000, 999999999, -1])
    elif name == "Duration":
        sign = rand.choice([1, -1])
        message.seconds = sign * rand.choice([0, 3, 315576000000, rand.randint(0, 10**12)])
        message.nanos = sign * rand.choice([0, 5, 4000, 700000000, 10**9]) * rand.choice([1, 1, 1, -1])
    elif name == "FieldMask":
        paths = ["a", "user_name", "a.b_c", "x9", "é"] + rand.choice([[], ["Bad"], ["a_"], ["a_1"]])
        message.paths.extend(rand.choice(paths) for _ in range(rand.randint(0, 3)))
    elif name == "Any":
        if known and rand.random() < 0.8:
            inner = message_factory.GetMessageClass(rand.choice(known))()
            _fill_known(inner, rand, known, depth)
            message.type_url = f"type.googleapis.com/{inner.DESCRIPTOR.full_name}"
            message.value = inner.SerializeToString(deterministic=True)
    elif name == "Value":
        kind = rand.choice(["null_value", "number_value", "string_value", "bool_value", "struct_value", "list_value", ""])
        if kind in ("struct_value", "list_value"):
            inner = getattr(message, kind)
            inner.SetInParent()
            if depth < 4:
                fill(inner, rand, known, depth + 1)
        elif kind:
            setattr(message, kind, {"null_value": 0, "bool_value": True}.get(kind, 1.5 if kind[0] == "n" else "text"))
    else:
        return False
    return True


def _scalar(field, rand: random.Random):
    cpp = field.cpp_type
    if cpp in INTEGERS:
        low, high = INTEGERS[cpp]
        return rand.choice([0, 1, 5, low, high, rand.randint(low, high)])
    if cpp == FIELD.CPPTYPE_BOOL:
        return rand.random() < 0.5
    if cpp in (FIELD.CPPTYPE_FLOAT, FIELD.CPPTYPE_DOUBLE):
        number = rand.choice([0.0, -0.0, 1.0, 0.1, -2.5e-7, 1e30, rand.uniform(-1e6, 1e6)])
        return rand.choice([math.nan, math.inf, -math.inf]) if rand.random() < 0.02 else number
    if cpp == FIELD.CPPTYPE_ENUM:
        known = [value.number for value in field.enum_type.values]
        return rand.choice(known if field.enum_type.is_closed else [*known, 77])
    if field.type == FIELD.TYPE_BYTES:
        return rand.randbytes(rand.choice([0, 1, 2, 3, 100]))
    return rand.choice(TEXTS)


def disturb(payload: bytes, other: bytes, rand: random.Random) -> tuple:
    """The same or another value in a form that writers seldom choose, or garbage; and whether it can be garbage."""
    records = _records(payload)
    match rand.randrange(12):
        case 0:
            return payload + other, False
        case 1:
            return other + payload + other, False
        case 2 | 3:
            rand.shuffle(records)
            return b"".join(records), False
        case 4:
            mixed = records + _records(other)
            rand.shuffle(mixed)
            return b"".join(mixed), False
        case 5:
            records.insert(rand.randint(0, len(records)), _unknown(rand))
            return b"".join(records), False
        case 6:
            return payload[: rand.randint(0, len(payload))], True
        case 7 if payload:
            garbled = bytearray(payload)
            garbled[rand.randrange(len(garbled))] = rand.choice([0, 1, 0x7F, 0x80, 0xFF, rand.randrange(256)])
            return bytes(garbled), True
    return payload, False


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _unknown(rand: random.Random) -> bytes:
    number = rand.choice([41, 300, 2**28])
    start, end = _varint(number << 3 | 3), _varint(number << 3 | 4)
    return rand.choice(
        [
            _varint(number << 3) + _varint(rand.getrandbits(64)),
            _varint(number << 3 | 1) + rand.randbytes(8),
            _varint(number << 3 | 2) + b"\x03abc",
            _varint(number << 3 | 5) + rand.randbytes(4),
            start + b"\x08\x01" + start + end + end,
        ]
    )


def _records(payload: bytes) -> list:
    """The fields of a message, each with its tag."""
    records, at = [], 0

    def varint(at: int) -> tuple:
        number, shift = 0, 0
        while True:
            byte = payload[at]
            number |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return number, at

    def end_of(at: int) -> int:
        tag, at = varint(at)
        match tag & 7:
            case 0:
                return varint(at)[1]
            case 1:
                return at + 8
            case 2:
                length, at = varint(at)
                return at + length
            case 3:
                while True:
                    inner, _ = varint(at)
                    if inner & 7 == 4:
                        return varint(at)[1]
                    at = end_of(at)
            case _:
                return at + 4

    while at < len(payload):
        end = end_of(at)
        records.append(payload[at:end])
        at = end
    return records


def expected(kind, payload: bytes, pool) -> Expected:
    """The JSON of a payload with our differences: wide integers and decimals as numbers, NaN refused."""
    message = kind()
    try:
        message.ParseFromString(payload)
        if not message.IsInitialized():
            return Expected(is_reject=True)
        plain = json_format.MessageToDict(
            message,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            descriptor_pool=pool,
        )
        return Expected(_ours(plain, message))
    except Refused:
        return Expected(is_reject=True)
    except Exception:  # the library has several kinds of errors for what it cannot read or write
        return Expected(is_reject=True)


class Refused(Exception):
    """Ours does not write this."""


def _ours(plain, message):
    name = message.DESCRIPTOR.full_name
    if name == "confluent.type.Decimal":
        unscaled = int.from_bytes(message.value, "big", signed=True)
        if abs(message.scale) > 1000:
            raise Refused
        return _decimal(unscaled, message.scale)
    if name.startswith("google.protobuf.") and name.endswith("Value") and name not in ("google.protobuf.Value",):
        if name == "google.protobuf.ListValue":
            return plain
        return _value(plain, message.DESCRIPTOR.fields[0], message.value)
    if name == "google.protobuf.Any":
        return plain
    if name in ("google.protobuf.Struct", "google.protobuf.Value") or not isinstance(plain, dict):
        return plain
    out = dict(plain)
    fields = {field.name: field for field in message.DESCRIPTOR.fields}
    for field in message.DESCRIPTOR.file.pool.FindAllExtensions(message.DESCRIPTOR):
        fields[f"[{field.full_name}]"] = field
    for name, value in plain.items():
        field = fields[name]
        held = message.Extensions[field] if field.is_extension else getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            by_name = {_key(key): held[key] for key in held}
            out[name] = {key: _value(item, inner, by_name[key]) for key, item in value.items()}
        elif field.is_repeated:
            out[name] = [_value(item, field, one) for item, one in zip(value, held, strict=True)]
        else:
            out[name] = _value(value, field, held)
    return out


def _key(key) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _value(plain, field, held):
    if field.message_type is not None:
        return _ours(plain, held)
    if field.cpp_type in (FIELD.CPPTYPE_FLOAT, FIELD.CPPTYPE_DOUBLE):
        if not isinstance(plain, (int, float)) or not math.isfinite(plain):
            raise Refused
        return Single(plain) if field.cpp_type == FIELD.CPPTYPE_FLOAT else float(plain)
    if field.type == FIELD.TYPE_STRING and not isinstance(held, str):
        # In proto2 the library takes strings that are not UTF-8.
        raise Refused
    return int(plain) if field.type in WIDE else plain


class Single(float):
    """A number of 32 bits."""


def _decimal(unscaled: int, scale: int) -> decimal.Decimal:
    sign, digits = int(unscaled < 0), tuple(int(digit) for digit in str(abs(unscaled)))
    if scale < 0:
        digits = digits + (0,) * -scale if unscaled else digits
        scale = 0
    return decimal.Decimal((sign, digits, -scale))


class Number(str):
    """A number of ours, as it is written."""


def differs(ours, theirs, path: str = "") -> str | None:
    """Where two values differ, and how."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if ours.keys() != theirs.keys():
            return f"{path}: members {sorted(ours.keys() ^ theirs.keys())}"
        return next(filter(None, (differs(ours[key], theirs[key], f"{path}/{key}") for key in ours)), None)
    if isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        items = enumerate(zip(ours, theirs, strict=True))
        return next(filter(None, (differs(one, other, f"{path}/{at}") for at, (one, other) in items)), None)
    if isinstance(ours, Number) and _is_number(ours, theirs):
        return None
    if not isinstance(ours, Number) and type(ours) is type(theirs) and ours == theirs:
        return None
    return f"{path}: {ours!r} instead of {theirs!r}"


def _is_number(ours: str, theirs) -> bool:
    match theirs:
        case bool():
            return False
        case Single():
            return struct.pack("<f", float(ours)) == struct.pack("<f", theirs)
        case float():
            return struct.pack("<d", float(ours)) == struct.pack("<d", theirs)
        case int():
            return ours == str(theirs)
        case decimal.Decimal():
            return "e" not in ours.lower() and decimal.Decimal(ours).as_tuple() == theirs.as_tuple()
    return False
