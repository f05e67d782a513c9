"""Random Protobuf schemas as text: every type and label of proto2 and proto3, nested, imported and recursive."""

import random

SCALARS = (
    "double float int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64 bool string bytes".split()
)
KEYS = "int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64 bool string".split()
WELL_KNOWN = {
    "Timestamp": "timestamp",
    "Duration": "duration",
    "Struct": "struct",
    "Value": "struct",
    "ListValue": "struct",
    "FieldMask": "field_mask",
    "Empty": "empty",
    "Any": "any",
    **{f"{kind}Value": "wrappers" for kind in "Double Float Int64 UInt64 Int32 UInt32 Bool String Bytes".split()},
}
DECIMAL = "confluent/type/decimal.proto"


class Schema:
    """A main file and, sometimes, a second one that it imports."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.package = f"seed{seed}"
        self.is_proto3 = self.random.random() < 0.6
        self.imports = set()
        self.types, self.enums = [], []
        self.references = {}
        if self.random.random() < 0.5:
            name = f"seed{seed}_shared.proto"
            shared = self._file([f"Shared{number}" for number in range(2)], ["SharedEnum"])
            self.references[name] = shared
            self.imports = {name}
        self.name = f"seed{seed}.proto"
        names = [f"Message{number}" for number in range(self.random.randint(1, 4))]
        self.text = self._file(names, ["Kind"])

    def _file(self, messages: list, enums: list) -> str:
        # Messages may refer to later ones and to themselves.
        self.types += messages
        bodies = [self._enum(name, top=True) for name in enums]
        self.enums += enums
        bodies += [self._message(name, 0) for name in messages]
        head = ['syntax = "proto3";' if self.is_proto3 else 'syntax = "proto2";', f"package {self.package};"]
        return "\n".join(head + [f'import "{name}";' for name in sorted(self.imports)] + bodies) + "\n"

    def _enum(self, name: str, top: bool) -> str:
        numbers = [0] if self.is_proto3 or top else [5]
        numbers += self.random.sample([1, 2, 3, 7, 100, -1, 2**31 - 1, -(2**31)], self.random.randint(1, 4))
        aliased = self.random.random() < 0.3
        lines = [f"  {name.upper()}_{index} = {number};" for index, number in enumerate(numbers)]
        if aliased:
            lines = ["  option allow_alias = true;", *lines, f"  {name.upper()}_ALIAS = {numbers[-1]};"]
        return "\n".join([f"enum {name} {{", *lines, "}"])

    def _message(self, name: str, depth: int) -> str:
        rand = self.random
        lines = []
        # Declared before the fields: of maps after them, clients count the indexes of nested messages differently.
        nested = []
        if depth < 2 and rand.random() < 0.4:
            nested.append(f"{name}Inner{depth}")
            lines.append(self._message(nested[-1], depth + 1))
        kinds = list(self.enums)
        if rand.random() < 0.3:
            kinds.append(f"{name}Kind")
            lines.append(self._enum(kinds[-1], top=False))
        numbers = rand.sample([*range(1, 40), 255, 256, 257, 1000, 18999, 20000, 2**29 - 1], rand.randint(0, 12))
        groups, remaining = [], list(numbers)
        while remaining:
            number = remaining.pop()
            field = f"{rand.choice(['id', 'userName', 'page_url', 'x'])}_{number}"
            roll = rand.random()
            if roll < 0.12:
                # A map only takes enums that begin with 0.
                value = self._type(nested, self.enums)
                lines.append(f"map<{rand.choice(KEYS)}, {value}> {field} = {number};")
            elif roll < 0.22 and len(remaining) > 1:
                members = [remaining.pop() for _ in range(rand.randint(1, min(3, len(remaining))))]
                body = " ".join(f"{self._type(nested, kinds)} one_{member} = {member};" for member in members)
                lines.append(f"oneof choice_{number} {{ {body} {self._type(nested, kinds)} {field} = {number}; }}")
            elif roll < 0.3 and not self.is_proto3:
                label = rand.choice(["optional", "repeated"])
                lines.append(f"{label} group Group{number} = {number} {{ optional int32 a = 1; repeated string b = 2; }}")
            else:
                lines.append(self._field(field, number, nested, kinds))
        if not self.is_proto3 and rand.random() < 0.3:
            lines.append("extensions 50000 to 50010;")
            groups.append(f"extend {name} {{ optional string ext_{name} = 50001; repeated sint64 exts_{name} = 50002; }}")
        return "\n".join([f"message {name} {{", *lines, *groups, "}"])

    def _field(self, field: str, number: int, nested: list, kinds: list) -> str:
        rand = self.random
        value = self._type(nested, kinds)
        if self.is_proto3:
            label = rand.choice(["", "", "optional ", "repeated "])
        else:
            label = rand.choice(["optional ", "optional ", "repeated ", "required "])
        options = ""
        if value in SCALARS and value not in ("string", "bytes"):
            if label == "repeated " and rand.random() < 0.5:
                options = f" [packed = {rand.choice(['true', 'false'])}]"
            if label == "optional " and not self.is_proto3 and value != "bool":
                options = " [default = 3]"
        if label == "required " and value not in SCALARS:
            # A required message within itself would have no value.
            label = "optional "
        return f"{label}{value} {field} = {number}{options};"

    def _type(self, nested: list, kinds: list) -> str:
        rand = self.random
        roll = rand.random()
        if roll < 0.55:
            return rand.choice(SCALARS)
        if roll < 0.65 and kinds:
            return rand.choice(kinds)
        if roll < 0.8:
            return rand.choice([*nested, *self.types])
        if roll < 0.85:
            self.imports.add(DECIMAL)
            return "confluent.type.Decimal"
        name = rand.choice(list(WELL_KNOWN))
        self.imports.add(f"google/protobuf/{WELL_KNOWN[name]}.proto")
        return f"google.protobuf.{name}"
