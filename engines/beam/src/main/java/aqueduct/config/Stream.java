package aqueduct.config;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import org.tomlj.TomlArray;

/** What a pipeline that reads Pub/Sub takes from [pubsub] and [state]. Lengths are milliseconds. */
public record Stream(String project, List<Input> inputs, String subscription, int shards,
    long idleAfter, long holeLimit, long coldStart) implements Serializable {
  /** A Pub/Sub topic for events. {@code value} is that of the field that selects it; null if no field does. */
  public record Input(String topic, String value) implements Serializable {}

  /** All keys of the two sections, with those that only the Rust programs use. */
  static final String[] PUBSUB_KEYS = {"project", "topic", "topics", "subscription", "filter", "ordering_key", "pack",
      "pack_linger", "shards", "regions", "retention", "in_flight", "emulator_host"};

  static final String[] STATE_KEYS =
      {"checkpoints", "period", "takeover_after", "cold_start", "memory", "idle_after", "hole_limit"};

  /** The most shards, and so subscriptions, of a pipeline. */
  public static final int MOST_SHARDS = 64;

  static Stream read(Section root, Problems problems) throws Problems.Invalid {
    Section pubsub = root.has("pubsub") ? root.table("pubsub", "a table") : null;
    if (pubsub == null) {
      problems.add(0, "pubsub", "missing section pubsub, which names the subscription to read; to count files, add --files");
      problems.check();
    }
    pubsub.known(PUBSUB_KEYS);
    for (String key : List.of("project", "topic", "subscription")) {
      pubsub.requires(key, PUBSUB_KEYS);
    }
    Section state = root.has("state") ? root.table("state", "a table") : null;
    if (state != null) {
      state.known(STATE_KEYS);
    }
    problems.check();
    String project = pubsub.text("project", "a string");
    String topic = pubsub.text("topic", "a string");
    String subscription = pubsub.text("subscription", "a string");
    List<Input> inputs = inputs(pubsub, topic);
    int shards = shards(pubsub);
    Stream stream = new Stream(project, inputs, subscription, shards, millis(state, "idle_after", 10_000),
        millis(state, "hole_limit", 600_000), millis(state, "cold_start", 60_000));
    problems.check();
    return stream;
  }

  private static int shards(Section pubsub) {
    if (!pubsub.has("shards")) {
      return 1;
    }
    if (pubsub.value("shards") instanceof Long number && number >= 2 && number <= MOST_SHARDS) {
      return number.intValue();
    }
    pubsub.error("shards", "expected a number from 2 to " + MOST_SHARDS + "; without the key there is one reader");
    return 1;
  }

  private static List<Input> inputs(Section pubsub, String topic) {
    int open = topic == null ? -1 : topic.indexOf('{');
    int close = topic == null ? -1 : topic.lastIndexOf('}');
    if (open < 0 || close < open) {
      return List.of(new Input(topic, null));
    }
    String before = topic.substring(0, open);
    String after = topic.substring(close + 1);
    List<Input> inputs = new ArrayList<>();
    if (pubsub.value("topics") instanceof TomlArray names) {
      for (Object one : names.toList()) {
        String name = String.valueOf(one);
        boolean isSelected = name.length() > before.length() + after.length() && name.startsWith(before)
            && name.endsWith(after);
        String value = isSelected ? name.substring(before.length(), name.length() - after.length()) : null;
        inputs.add(new Input(name, value));
      }
    }
    if (inputs.isEmpty()) {
      pubsub.error("topics", "list the topics that the pointer in topic may select");
    }
    return inputs;
  }

  private static long millis(Section state, String key, long otherwise) {
    Long millis = state == null ? null : state.millis(key);
    return millis == null ? otherwise : millis;
  }

  /** The paths of the subscriptions for events that one of the readers pulls. */
  public List<String> subscriptions(int shard) {
    return inputs.stream().map(input -> input.value == null ? subscription : subscription + "-" + input.value)
        .map(name -> path(name + suffix(shard))).toList();
  }

  /** The path of the subscription for marks of one of the readers. */
  public String marks(int shard) {
    return path(subscription + suffix(shard) + "-marks");
  }

  private String suffix(int shard) {
    return shards == 1 ? "" : "-shard-" + shard;
  }

  private String path(String name) {
    return "projects/" + project + "/subscriptions/" + name;
  }

  /** A topic to which a connector publishes and that is not read; null if there is none. Empty outputs: one topic only. */
  public String unread(List<String> outputs) {
    if (outputs.isEmpty()) {
      return inputs.stream().anyMatch(input -> input.value == null) ? null : "the only topic of another configuration";
    }
    return outputs.stream()
        .filter(output -> inputs.stream().noneMatch(input -> input.value != null && input.topic.equals(output)))
        .findFirst().orElse(null);
  }
}
