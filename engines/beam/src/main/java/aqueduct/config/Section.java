package aqueduct.config;

import aqueduct.event.Pointers;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.tomlj.TomlArray;
import org.tomlj.TomlPosition;
import org.tomlj.TomlTable;

/** One TOML table while it is read: typed values by key, and an error with line and key for everything else. */
final class Section {
  /** The inputs of {@code ${env:NAME}} and {@code ${file:PATH}}. */
  record Context(Path folder, Map<String, String> variables) {}

  private static final Pattern REFERENCE = Pattern.compile("\\$?\\$\\{([^}]*)(\\}?)");
  private static final Pattern PART = Pattern.compile("\\s*(\\d+)\\s*([A-Za-z]*)");
  private static final Map<String, Long> UNITS =
      Map.of("ms", 1L, "s", 1_000L, "m", 60_000L, "h", 3_600_000L, "d", 86_400_000L);

  final TomlTable table;
  final String path;
  private final int line;
  private final Problems problems;
  private final Context context;

  Section(TomlTable table, String path, int line, Problems problems, Context context) {
    this.table = table;
    this.path = path;
    this.line = line;
    this.problems = problems;
    this.context = context;
  }

  /** The keys in the order of the file. */
  List<String> keys() {
    List<String> keys = new ArrayList<>(table.keySet());
    Comparator<TomlPosition> order = Comparator.comparingInt(TomlPosition::line).thenComparingInt(TomlPosition::column);
    keys.sort(Comparator.comparing(key -> table.inputPositionOf(List.of(key)), order));
    return keys;
  }

  /** Reports every key that is not one of these, which also are what was read. */
  Section known(String... known) {
    for (String key : keys()) {
      if (!List.of(known).contains(key)) {
        String hint = Problems.hint(key, List.of(known), "keys");
        problems.add(line(key), key(key), "unknown key " + key(key) + "; " + hint);
      }
    }
    return this;
  }

  /** Reports a key that must be there, unless it is there under a name with a typing error. */
  boolean requires(String key, String... known) {
    if (table.contains(List.of(key))) {
      return true;
    }
    boolean isMisspelt = keys().stream().filter(other -> !List.of(known).contains(other))
        .anyMatch(other -> Problems.hint(other, List.of(known), "").equals("did you mean " + key + "?"));
    if (!isMisspelt) {
      problems.add(line, key(key), "missing key " + key(key));
    }
    return false;
  }

  boolean has(String key) {
    return table.contains(List.of(key));
  }

  int line() {
    return line;
  }

  int line(String key) {
    TomlPosition position = has(key) ? table.inputPositionOf(List.of(key)) : null;
    return position == null ? line : position.line();
  }

  String key(String key) {
    return path.isEmpty() ? segment(key) : path + "." + segment(key);
  }

  static String segment(String name) {
    boolean isBare = name.matches("[A-Za-z0-9_-]+");
    return isBare ? name : "\"" + name.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
  }

  void error(String key, String text) {
    problems.at(line(key), key(key), text);
  }

  /** The error that the value of a key is of another type. */
  <T> T expected(String key, String expected) {
    error(key, "expected " + expected + ", found " + kind(value(key)));
    return null;
  }

  Object value(String key) {
    return table.get(List.of(key));
  }

  private static String kind(Object value) {
    if (value instanceof String) {
      return "a string";
    }
    if (value instanceof Long) {
      return "an integer";
    }
    if (value instanceof Double) {
      return "a fraction";
    }
    if (value instanceof Boolean) {
      return "a boolean";
    }
    if (value instanceof TomlArray) {
      return "a list";
    }
    return value instanceof TomlTable ? "a table" : "a date or time without quotes; write it in quotes";
  }

  /** A string, with its references expanded; null if there is none. */
  String text(String key, String expected) {
    if (!has(key)) {
      return null;
    }
    return value(key) instanceof String text ? expand(key, text) : expected(key, expected);
  }

  String expand(String key, String text) {
    StringBuilder expanded = new StringBuilder();
    Matcher m = REFERENCE.matcher(text);
    while (m.find()) {
      if (m.group().startsWith("$$")) {
        m.appendReplacement(expanded, Matcher.quoteReplacement(m.group().substring(1)));
        continue;
      }
      String known = m.group(2).isEmpty() ? null : lookUp(m.group(1));
      if (known == null) {
        error(key, "cannot expand ${" + m.group(1) + "; expected ${env:NAME} of a variable that is set or ${file:PATH} of "
            + "a file that can be read, or $${ for a literal ${");
        return null;
      }
      m.appendReplacement(expanded, Matcher.quoteReplacement(known));
    }
    return m.appendTail(expanded).toString();
  }

  private String lookUp(String reference) {
    if (reference.startsWith("env:")) {
      return context.variables.get(reference.substring(4));
    }
    if (!reference.startsWith("file:")) {
      return null;
    }
    try {
      Path path = context.folder.resolve(reference.substring(5));
      return Files.readString(path, StandardCharsets.UTF_8).replaceFirst("\\r?\\n\\z", "");
    } catch (IOException error) {
      return null;
    }
  }

  /** A pointer to one field; null if there is none. */
  String pointer(String key) {
    String text = text(key, "a string");
    String problem = text == null ? null : Pointers.problem(text);
    if (problem != null) {
      error(key, problem);
      return null;
    }
    return text;
  }

  /** A length in milliseconds; null if there is none. */
  Long millis(String key) {
    return millis(key, text -> null);
  }

  /** As {@link #millis}, with other values beside lengths. */
  Long millis(String key, Function<String, Long> other) {
    String text = text(key, "a duration with its unit in quotes, for example \"30s\"");
    if (text == null) {
      return null;
    }
    Long known = other.apply(text.trim());
    Long millis = known != null ? known : duration(text);
    if (millis == null) {
      error(key, "invalid duration \"" + text + "\"; expected a number with ms, s, m, h or d, for example \"30s\"");
    }
    return millis;
  }

  private static Long duration(String text) {
    String rest = text.trim();
    Matcher m = PART.matcher(rest);
    long total = 0;
    int at = 0;
    while (at < rest.length() && m.find(at) && m.start() == at) {
      Long factor = UNITS.get(m.group(2));
      if (factor == null) {
        return null;
      }
      try {
        total = Math.addExact(total, Math.multiplyExact(Long.parseLong(m.group(1)), factor));
      } catch (ArithmeticException | NumberFormatException error) {
        return null;
      }
      at = m.end();
    }
    return at == rest.length() && at > 0 ? total : null;
  }

  /** The elements of a list of tables; null if it is another value. */
  List<Section> elements(String key) {
    if (!(value(key) instanceof TomlArray list)) {
      return null;
    }
    List<Section> elements = new ArrayList<>();
    for (int n = 0; n < list.size(); n++) {
      if (!(list.get(n) instanceof TomlTable element)) {
        return null;
      }
      elements.add(new Section(element, key(key) + "[" + n + "]", list.inputPositionOf(n).line(), problems, context));
    }
    return elements;
  }

  /** One of a few words; null if there is none. */
  String word(String key, List<String> words) {
    String word = text(key, "a string");
    if (word != null && !words.contains(word)) {
      error(key, "unknown value \"" + word + "\"; " + Problems.hint(word, words, "values"));
      return null;
    }
    return word;
  }

  /** Reports keys that have no effect with a value of another key. */
  void unused(String kind, String... keys) {
    for (String key : keys) {
      if (has(key)) {
        error(key, "has no effect with kind = \"" + kind + "\"; remove it");
      }
    }
  }

  /** A table; null if there is none. */
  Section table(String key, String expected) {
    if (!has(key)) {
      return null;
    }
    if (value(key) instanceof TomlTable inner) {
      return new Section(inner, key(key), line(key), problems, context);
    }
    return expected(key, expected);
  }
}
