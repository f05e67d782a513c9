package aqueduct.config;

import aqueduct.count.Flow;
import java.io.IOException;
import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.tomlj.Toml;
import org.tomlj.TomlParseError;
import org.tomlj.TomlParseResult;

/**
 * The parts of an aqueduct.toml that decide how events are counted: [events] and [[flows]], with the keys, defaults and
 * errors of the Rust programs. It is the text of the file that is serialised; every worker reads it again.
 */
public final class Config implements Serializable {
  private static final long serialVersionUID = 1;

  private static final List<String> SECTIONS = List.of(
      "kafka", "schema_registry", "pubsub", "anonymise", "events", "flows", "writer", "writers", "state", "service");
  private static final String OVERRIDE = "AQUEDUCT__";
  private static final String EMULATOR = "PUBSUB_EMULATOR_HOST";

  private final String file;
  private final String text;
  /** The variables that the text refers to. */
  private final TreeMap<String, String> variables;

  private transient Events events;
  private transient List<Flow> flows;

  private Config(String file, String text, Map<String, String> variables) {
    this.file = file;
    this.text = text;
    this.variables = new TreeMap<>(variables);
    this.variables.keySet().removeIf(
        name -> !name.startsWith(OVERRIDE) && !name.equals(EMULATOR) && !text.contains("${env:" + name + "}"));
  }

  /** Reads a file. */
  public static Config read(String file, Map<String, String> variables) throws IOException, Problems.Invalid {
    return parse(file, Files.readString(Path.of(file), StandardCharsets.UTF_8), variables);
  }

  /** As {@link #read}, with the text as an argument. */
  public static Config parse(String file, String text, Map<String, String> variables) throws Problems.Invalid {
    Config config = new Config(file, text, variables);
    config.resolve();
    return config;
  }

  private void resolve() throws Problems.Invalid {
    Problems problems = new Problems(file);
    TomlParseResult toml = Toml.parse(text);
    if (toml.hasErrors()) {
      TomlParseError error = toml.errors().get(0);
      problems.add(error.position().line(), "", "invalid TOML: " + error.getMessage());
    }
    problems.check();
    Section root = root(toml, problems);
    for (String name : variables.keySet()) {
      if (name.startsWith(OVERRIDE)) {
        problems.add(0, name, name + ": this engine does not read overrides; write the key into the file");
      }
    }
    for (String name : root.keys()) {
      if (!SECTIONS.contains(name)) {
        problems.add(root.line(name), name, "unknown section " + Section.segment(name) + "; "
            + Problems.hint(name, SECTIONS, "sections"));
      }
    }
    problems.check();
    for (String name : List.of("events", "flows")) {
      if (!root.has(name)) {
        problems.add(0, name, "missing section " + name);
        problems.check();
      }
    }
    events = Events.read(root, problems);
    problems.check();
    flows = flows(root, problems);
    problems.check();
    Names.check(flows, root.elements("flows"), problems);
    problems.check();
  }

  private static List<Flow> flows(Section root, Problems problems) throws Problems.Invalid {
    List<Section> tables = root.elements("flows");
    if (tables == null) {
      root.expected("flows", "a list of tables, each written as [[flows]]");
      return List.of();
    }
    // Types first: a value of another type makes no sense in a rule.
    List<FlowReader> read = tables.stream().map(FlowReader::new).toList();
    problems.check();
    List<Flow> flows = new ArrayList<>();
    for (FlowReader reader : read) {
      Flow flow = reader.resolve();
      if (flow != null && flows.stream().anyMatch(other -> other.name().equals(flow.name()))) {
        reader.section.error("name", "another flow is already named \"" + flow.name() + "\"; choose a different name");
      } else if (flow != null && reader.isEffective(flow)) {
        flows.add(flow);
      }
    }
    if (tables.isEmpty()) {
      root.error("flows", "no flow is configured; add [[flows]]");
    }
    return flows;
  }

  private Section root(TomlParseResult toml, Problems problems) {
    Path folder = Path.of(file).toAbsolutePath().getParent();
    return new Section(toml, "", 0, problems, new Section.Context(folder, variables));
  }

  /** Where rows go without an --output; at least one. */
  public List<Writer> writers() throws Problems.Invalid {
    Problems problems = new Problems(file);
    return Writer.read(root(Toml.parse(text), problems), problems);
  }

  /** The address of a Pub/Sub emulator; null for Google Cloud. */
  public String pubsubEmulator() throws Problems.Invalid {
    Problems problems = new Problems(file);
    Section pubsub = root(Toml.parse(text), problems).table("pubsub", "a table");
    String host = pubsub == null ? null : pubsub.text("emulator_host", "a string");
    problems.check();
    String known = host == null ? variables.get(EMULATOR) : host;
    return known == null || known.isEmpty() ? null : known;
  }

  /** Refuses flows that cannot be counted over files. */
  public void checkBounded() throws Problems.Invalid {
    Problems problems = new Problems(file);
    Section root = root(Toml.parse(text), problems);
    List<Section> tables = root.elements("flows");
    for (int n = 0; n < flows().size(); n++) {
      if (!flows().get(n).time().equals("event")) {
        Section table = tables.get(n);
        problems.at(table.line("time"), table.key("time"), "a flow with time = \"" + flows().get(n).time()
            + "\" cannot be counted over files, which have no Kafka timestamps or publish times; use a configuration "
            + "without it");
      }
    }
    problems.check();
  }

  /**
   * What a pipeline takes from [pubsub] and [state]. Refuses flows that one watermark cannot serve, and IDs that several
   * readers would have to compare.
   */
  public Stream stream() throws Problems.Invalid {
    Problems problems = new Problems(file);
    Section root = root(Toml.parse(text), problems);
    List<Section> tables = root.elements("flows");
    String kind = flows().get(0).time();
    for (int n = 1; n < flows().size(); n++) {
      if (!flows().get(n).time().equals(kind)) {
        problems.at(tables.get(n).line("time"), tables.get(n).key("time"), "all flows of a pipeline need the same kind of "
            + "time, because a source has one watermark; give them configurations of their own");
      }
    }
    Stream stream = Stream.read(root, problems);
    boolean hasIds = events().id() != null || events().topics().values().stream().anyMatch(own -> own.id() != null);
    if (stream.shards() > 1 && hasIds) {
      Section pubsub = root.table("pubsub", "a table");
      pubsub.error("shards", "cannot be combined with the IDs of [events]: copies of an event may be in different shards; "
          + "remove one of them");
    }
    problems.check();
    return stream;
  }

  public Events events() {
    return resolved().events;
  }

  public List<Flow> flows() {
    return resolved().flows;
  }

  private synchronized Config resolved() {
    if (flows == null) {
      try {
        resolve();
      } catch (Problems.Invalid error) {
        throw new IllegalStateException("the configuration was valid before it was sent to a worker", error);
      }
    }
    return this;
  }
}
