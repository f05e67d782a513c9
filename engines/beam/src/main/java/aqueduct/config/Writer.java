package aqueduct.config;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.tomlj.TomlArray;
import org.tomlj.TomlTable;

/**
 * Where rows go: [writer], or one of [[writers]].
 *
 * @param topic the full name of a Pub/Sub topic; null for BigQuery
 * @param project the project of a BigQuery dataset; null for Pub/Sub
 */
public record Writer(String topic, String project, String dataset) {
  private static final String[] KEYS = {"kind", "name", "mode", "path", "topic", "project", "dataset", "location",
      "rest_endpoint", "grpc_endpoint"};
  private static final List<String> KINDS = List.of("sqlite", "bigquery", "pubsub");
  private static final List<String> MODES = List.of("append", "upsert");

  /** Reads all writers, and reports those to which this engine cannot write. There is at least one. */
  static List<Writer> read(Section root, Problems problems) throws Problems.Invalid {
    List<Section> sections = sections(root);
    problems.check();
    List<Writer> writers = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (Section section : sections) {
      Writer writer = read(section, root);
      String name = section.has("name") ? section.text("name", "a string") : section.text("kind", "a string");
      if (name == null || !name.matches("[A-Za-z0-9_-]{1,64}")) {
        section.error("name", "invalid name; expected up to 64 letters, digits, hyphens and underscores");
      } else if (!names.add(name)) {
        section.error(section.has("name") ? "name" : "kind", "another writer has this name; choose another");
      } else if (writer != null && writers.contains(writer)) {
        section.error("kind", "another writer has the same place; remove one of them");
      }
      writers.add(writer);
    }
    problems.check();
    return writers;
  }

  private static List<Section> sections(Section root) {
    if (!root.has("writers")) {
      if (!root.has("writer")) {
        root.error("writer", "missing section; add [writer], or write --output=rows.ndjson");
        return List.of();
      }
      Section one = root.table("writer", "a table");
      return one == null ? List.of() : List.of(one);
    }
    if (root.has("writer")) {
      root.error("writers", "cannot be beside [writer]; move the keys of [writer] into another [[writers]]");
      return List.of();
    }
    List<Section> sections = root.elements("writers");
    if (sections == null || sections.isEmpty()) {
      root.expected("writers", "a list of tables, each written as [[writers]]");
      return List.of();
    }
    return sections;
  }

  private static Writer read(Section section, Section root) {
    section.known(KEYS);
    String kind = section.requires("kind", KEYS) ? section.word("kind", KINDS) : null;
    String mode = section.word("mode", MODES);
    if (kind == null) {
      return null;
    }
    switch (kind) {
      case "pubsub": return pubsub(section, root, mode);
      case "bigquery": return bigquery(section, mode);
      default:
        section.error("kind", "this engine does not write SQLite files, which belong to one machine; use "
            + "\"bigquery\" or \"pubsub\", or write --output=rows.ndjson");
        return null;
    }
  }

  private static Writer pubsub(Section section, Section root, String mode) {
    section.unused("pubsub", "path", "dataset", "location", "rest_endpoint", "grpc_endpoint");
    if ("upsert".equals(mode)) {
      section.error("mode", "is \"upsert\", which a topic cannot have; remove it");
    }
    Section pubsub = root.table("pubsub", "a table");
    if (pubsub == null) {
      section.error("kind", "is \"pubsub\", which requires the section [pubsub]; add it");
      return null;
    }
    String topic = section.requires("topic", KEYS) ? section.text("topic", "a string") : null;
    if (topic != null && !topic.matches("(?!goog)[A-Za-z][A-Za-z0-9_.~+%-]{2,248}")) {
      section.error("topic", "invalid name; expected 3 to 249 letters, digits and -_.~+%, beginning with a letter and not with "
          + "\"goog\"");
    }
    String project = section.has("project") ? section.text("project", "a string") : pubsub.text("project", "a string");
    return topic == null || project == null ? null : new Writer("projects/" + project + "/topics/" + topic, null, null);
  }

  private static Writer bigquery(Section section, String mode) {
    section.unused("bigquery", "path", "topic");
    if ("append".equals(mode) || !section.has("mode")) {
      section.error("mode", "this engine writes BigQuery only with mode = \"upsert\", where a "
          + "repeated row changes nothing; add it");
    }
    if (section.has("rest_endpoint") || section.has("grpc_endpoint")) {
      section.error("rest_endpoint", "this engine has its own option for an emulator, --bigQueryEndpoint; remove it");
    }
    String project = section.requires("project", KEYS) ? section.text("project", "a string") : null;
    String dataset = section.requires("dataset", KEYS) ? section.text("dataset", "a string") : null;
    section.requires("location", KEYS);
    section.text("location", "a string");
    if (dataset != null && !dataset.matches("[A-Za-z0-9_]+")) {
      section.error("dataset", "invalid name; expected letters, digits and underscores");
    }
    return project == null || dataset == null ? null : new Writer(null, project, dataset);
  }
}
