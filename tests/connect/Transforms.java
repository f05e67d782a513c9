// Applies Kafka's own converters, transforms and predicates, Apicurio's mapping of Avro, and Google's sink, to records: one
// JSON object a line in, one a line out. See src/main.rs for the cases, and for what is compared.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.transforms.Transformation;
import org.apache.kafka.connect.transforms.predicates.Predicate;

public class Transforms {
    static final ObjectMapper JSON = new ObjectMapper();
    static ClassLoader sink, avro;

    public static void main(String[] arguments) throws Exception {
        sink = jars(arguments[0]);
        avro = jars(arguments[1]);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode parsed = JSON.readTree(line);
            ObjectNode answer = JSON.createObjectNode();
            if (parsed.has("properties")) properties(parsed, answer);
            else record(parsed, answer);
            out.println(answer);
        }
        out.flush();
    }

    static ClassLoader jars(String folder) throws Exception {
        List<URL> urls = new ArrayList<>();
        for (File jar : new File(folder).listFiles()) urls.add(jar.toURI().toURL());
        return new URLClassLoader(urls.toArray(new URL[0]), Transforms.class.getClassLoader());
    }

    /** Avro with the schema in the configuration: a fork of Confluent's mapping, which is not on Maven Central. */
    static class Avro implements Converter {
        Object schema, data;

        public void configure(Map<String, ?> config, boolean isKey) {
            try {
                Object parser = avro.loadClass("org.apache.avro.Schema$Parser").getConstructor().newInstance();
                schema = parser.getClass().getMethod("parse", String.class).invoke(parser, config.get("schema"));
                Class<?> mapping = avro.loadClass("io.apicurio.registry.utils.converter.avro.AvroData");
                data = mapping.getConstructor(int.class).newInstance(10);
            } catch (ReflectiveOperationException invalid) {
                throw new IllegalArgumentException(invalid);
            }
        }

        public byte[] fromConnectData(String topic, Schema schema, Object value) {
            throw new UnsupportedOperationException();
        }

        public SchemaAndValue toConnectData(String topic, byte[] bytes) {
            try {
                Class<?> type = avro.loadClass("org.apache.avro.Schema");
                Class<?> decoders = avro.loadClass("org.apache.avro.io.DecoderFactory");
                Class<?> decoder = avro.loadClass("org.apache.avro.io.Decoder");
                Class<?> binary = avro.loadClass("org.apache.avro.io.BinaryDecoder");
                Object reader = avro.loadClass("org.apache.avro.generic.GenericDatumReader").getConstructor(type).newInstance(schema);
                Object input = decoders.getMethod("binaryDecoder", byte[].class, binary).invoke(decoders.getMethod("get").invoke(null), bytes, null);
                Object value = reader.getClass().getMethod("read", Object.class, decoder).invoke(reader, null, input);
                return (SchemaAndValue) data.getClass().getMethod("toConnectData", type, Object.class).invoke(data, schema, value);
            } catch (ReflectiveOperationException refused) {
                throw new IllegalStateException(refused.getCause());
            }
        }
    }

    static void properties(JsonNode parsed, ObjectNode answer) throws Exception {
        Properties properties = new Properties();
        try {
            properties.load(new java.io.ByteArrayInputStream(Base64.getDecoder().decode(parsed.get("properties").asText())));
        } catch (IllegalArgumentException malformed) {
            answer.put("error", "properties");
            return;
        }
        ObjectNode found = answer.putObject("properties");
        for (String name : properties.stringPropertyNames()) found.put(name, properties.getProperty(name));
    }

    static Map<String, String> map(JsonNode node) {
        Map<String, String> map = new HashMap<>();
        node.properties().forEach(entry -> map.put(entry.getKey(), entry.getValue().asText()));
        return map;
    }

    static byte[] bytes(JsonNode node) {
        return node == null || node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    static Converter converter(JsonNode node, boolean isKey) throws Exception {
        String name = node.get("class").asText();
        Converter converter = name.equals("avro") ? new Avro() : (Converter) Class.forName(name).getConstructor().newInstance();
        converter.configure(map(node.get("config")), isKey);
        return converter;
    }

    @SuppressWarnings("unchecked")
    static void record(JsonNode parsed, ObjectNode answer) throws Exception {
        List<Transformation<SinkRecord>> transforms = new ArrayList<>();
        List<Predicate<SinkRecord>> predicates = new ArrayList<>();
        List<Boolean> negated = new ArrayList<>();
        Converter keys, values;
        try {
            keys = converter(parsed.get("key.converter"), true);
            values = converter(parsed.get("value.converter"), false);
            for (JsonNode step : parsed.get("transforms")) {
                Transformation<SinkRecord> transform = (Transformation<SinkRecord>)
                    Class.forName(step.get("type").asText()).getConstructor().newInstance();
                Map<String, String> config = map(step.get("config"));
                ConfigDef definition = transform.config();
                for (ConfigValue value : definition.validate(config)) {
                    if (!value.errorMessages().isEmpty()) throw new IllegalArgumentException("invalid");
                }
                transform.configure(config);
                transforms.add(transform);
                JsonNode predicate = step.get("predicate");
                if (predicate == null || predicate.isNull()) {
                    predicates.add(null);
                } else {
                    Predicate<SinkRecord> made = (Predicate<SinkRecord>)
                        Class.forName(predicate.get("type").asText()).getConstructor().newInstance();
                    made.configure(map(predicate.get("config")));
                    predicates.add(made);
                }
                negated.add(step.path("negate").asBoolean());
            }
        } catch (RuntimeException invalid) {
            answer.put("error", "config");
            return;
        }
        SinkRecord record;
        try {
            String topic = parsed.get("topic").asText();
            SchemaAndValue key = keys.toConnectData(topic, bytes(parsed.get("key")));
            SchemaAndValue value = values.toConnectData(topic, bytes(parsed.get("value")));
            ConnectHeaders headers = new ConnectHeaders();
            for (JsonNode header : parsed.get("headers")) {
                headers.addString(header.get(0).asText(), header.get(1).asText());
            }
            Long timestamp = parsed.get("timestamp").isNull() ? null : parsed.get("timestamp").asLong();
            record = new SinkRecord(topic, parsed.get("partition").asInt(), key.schema(), key.value(), value.schema(),
                value.value(), parsed.get("offset").asLong(), timestamp, TimestampType.CREATE_TIME, headers);
            for (int i = 0; i < transforms.size() && record != null; i++) {
                if (predicates.get(i) != null && predicates.get(i).test(record) == negated.get(i)) continue;
                record = transforms.get(i).apply(record);
            }
        } catch (RuntimeException refused) {
            answer.put("error", "record");
            answer.put("why", refused.toString());
            return;
        }
        if (record == null) {
            answer.put("dropped", true);
            return;
        }
        answer.put("topic", record.topic());
        show(answer, "key", record.keySchema(), record.key());
        show(answer, "value", record.valueSchema(), record.value());
        message(parsed, answer, record);
    }

    static void show(ObjectNode answer, String part, Schema schema, Object value) throws Exception {
        JsonConverter json = new JsonConverter();
        boolean isPlain = schema == null;
        json.configure(Map.of("schemas.enable", "false", "replace.null.with.default", "false", "decimal.format", "NUMERIC"), false);
        byte[] text = json.fromConnectData("t", schema, value);
        answer.set(part, text == null ? null : JSON.readTree(text));
        answer.put(part + ".schema", !isPlain);
    }

    /** What the sink makes of the value: its method is not public. */
    static void message(JsonNode parsed, ObjectNode answer, SinkRecord record) throws Exception {
        Class<?> type = sink.loadClass("com.google.pubsub.kafka.sink.CloudPubSubSinkTask");
        Object task = type.getConstructor().newInstance();
        Field body = type.getDeclaredField("messageBodyName");
        body.setAccessible(true);
        body.set(task, parsed.path("messageBodyName").asText("cps_message_body"));
        Method handle = type.getDeclaredMethod("handleValue", Schema.class, Object.class, Map.class);
        handle.setAccessible(true);
        Map<String, String> attributes = new TreeMap<>();
        try {
            Object data = handle.invoke(task, record.valueSchema(), record.value(), attributes);
            if (data == null) answer.putNull("data");
            else {
                byte[] bytes = (byte[]) data.getClass().getMethod("toByteArray").invoke(data);
                answer.put("data", Base64.getEncoder().encodeToString(bytes));
            }
            ObjectNode shown = answer.putObject("attributes");
            attributes.forEach(shown::put);
        } catch (java.lang.reflect.InvocationTargetException refused) {
            answer.put("message", "refused");
            answer.put("why", String.valueOf(refused.getCause()));
        }
    }
}
