package aqueduct.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The cases that `aqueduct replay` is tested with, too. */
class ConfigurationsTest {
  private static final Path CASES = Path.of("../../crates/aqueduct/tests/replay/configurations.json");

  @Test
  void errorsAreThoseOfReplay() throws IOException {
    JsonNode file = new ObjectMapper().readTree(CASES.toFile());
    String base = file.get("base").asText();
    List<String> wrong = new ArrayList<>();
    for (JsonNode one : file.get("cases")) {
      String old = one.get("old").asText();
      assertTrue(base.contains(old), old);
      String text = base.replace(old, one.get("new").asText());
      List<String> expected = new ArrayList<>();
      one.get("errors").forEach(error -> expected.add(error.asText()));
      List<String> found = errors(text);
      if (!expected.equals(found)) {
        wrong.add(one.get("new").asText() + "\n  expected " + expected + "\n  found    " + found);
      }
    }
    assertEquals("", String.join("\n", wrong));
  }

  private static List<String> errors(String text) {
    try {
      Config.parse("aqueduct.toml", text, Map.of()).checkBounded();
      return List.of();
    } catch (Problems.Invalid error) {
      return keys(error);
    }
  }

  private static List<String> keys(Problems.Invalid error) {
    return error.problems.stream().map(problem -> problem.line() + " " + problem.key()).toList();
  }

  /** Those that are wrong for every program, and those to which only this engine does not write. */
  @Test
  void writersAreReadOrRefused() throws IOException, Problems.Invalid {
    JsonNode file = new ObjectMapper().readTree(CASES.toFile());
    for (JsonNode one : file.get("writers")) {
      Config config = Config.parse("aqueduct.toml", file.get("base").asText() + one.get("add").asText(), Map.of());
      List<String> expected = new ArrayList<>();
      one.get("errors").forEach(error -> expected.add(error.asText()));
      one.get("refused").forEach(refused -> expected.add(refused.asText()));
      List<String> found = new ArrayList<>();
      try {
        config.writers();
      } catch (Problems.Invalid error) {
        found.addAll(keys(error));
      }
      assertEquals(expected, found, one.get("add").asText());
    }
  }

  @Test
  void referencesAreExpanded() throws IOException, Problems.Invalid {
    Path folder = Files.createTempDirectory("aqueduct");
    Files.writeString(folder.resolve("name"), "a\n");
    String text = "[events]\ntime = \"/time\"\n[[flows]]\nname = \"${file:name}_${env:NAME}\"\nby = { page = \"/page\" }\n"
        + "measures.n = { count = { \"/x\" = \"$${a\" } }\nwindow = { size = \"1h\" }\n";
    Config config = Config.parse(folder.resolve("aqueduct.toml").toString(), text, Map.of("NAME", "b"));
    assertEquals("a_b", config.flows().get(0).name());
    assertTrue(config.flows().get(0).fed().get(0).where().terms().get(0).texts().contains("${a"));
  }

  /** A key that the Rust programs know is no error here. */
  @Test
  void sectionsOfAStreamHaveTheKeysOfTheDocuments() throws IOException {
    String text = Files.readString(Path.of("../../docs/configuration.md"));
    for (Map.Entry<String, String[]> section : Map.of("pubsub", Stream.PUBSUB_KEYS, "state", Stream.STATE_KEYS).entrySet()) {
      int start = text.indexOf("\n## [" + section.getKey() + "]\n");
      List<String> documented = text.substring(start, text.indexOf("<!-- end of the keys -->", start)).lines()
          .filter(line -> line.startsWith("| `")).map(line -> line.split("`")[1]).toList();
      assertEquals(documented, List.of(section.getValue()));
    }
  }

  @Test
  void misspeltKeysOfAStreamAreReported() throws Problems.Invalid {
    String text = "[pubsub]\nproject = \"p\"\ntopik = \"t\"\nsubscription = \"s\"\n[state]\nhole_limt = \"1m\"\n"
        + "[events]\ntime = \"/time\"\n[[flows]]\nname = \"a\"\nby = { page = \"/page\" }\n"
        + "measures.n = { count = {} }\nwindow = { size = \"1h\" }\n";
    Config config = Config.parse("aqueduct.toml", text, Map.of());
    Problems.Invalid error = assertThrows(Problems.Invalid.class, config::stream);
    assertEquals(List.of("3 pubsub.topik", "6 state.hole_limt"), keys(error));
  }
}
