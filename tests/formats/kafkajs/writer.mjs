// Encodes records with the JavaScript client of the registry, which shares no code with Confluent's, and prints what a
// reader has to find.
//
//     writer.mjs SUBJECT
//
// Reads SCHEMA_REGISTRY. Each line of its output is one record: its bytes as base64, and its JSON.
import { SchemaRegistry, SchemaType } from "@kafkajs/confluent-schema-registry";

const schema = {
  type: "record",
  name: "Click",
  namespace: "shop.js",
  fields: [
    { name: "page", type: "string" },
    { name: "box", type: ["null", "string"], default: null },
    { name: "at", type: "long" },
    { name: "weights", type: { type: "array", items: "float" } },
    { name: "kind", type: { type: "enum", name: "Kind", symbols: ["LEFT", "RIGHT"] } },
  ],
};

const registry = new SchemaRegistry({ host: process.env.SCHEMA_REGISTRY });
const registered = { type: SchemaType.AVRO, schema: JSON.stringify(schema) };
const { id } = await registry.register(registered, { subject: process.argv[2] });
for (let n = 0; n < 50; n += 1) {
  const value = {
    page: `/${n}`,
    box: n % 2 ? `b${n}` : null,
    at: 1_769_862_896_000 + n,
    weights: Array.from({ length: n % 4 }, (_, i) => i / 4),
    kind: n % 3 ? "LEFT" : "RIGHT",
  };
  const bytes = await registry.encode(id, value);
  console.log(JSON.stringify({ bytes: bytes.toString("base64"), value }));
}
