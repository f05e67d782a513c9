package aqueduct.config;

import aqueduct.count.Flow;
import aqueduct.count.Flow.Aggregation;
import aqueduct.count.Flow.Fed;
import aqueduct.count.Flow.Match;
import aqueduct.count.Flow.Measure;
import aqueduct.count.Flow.Source;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.tomlj.TomlArray;

/** {@code measures = { ... }}: what is stored, and the measures in the order of their columns. */
final class MeasuresReader {
  private static final List<String> WORDS = List.of("count", "sum", "min", "max", "distinct", "ratio");
  private static final String[] KEYS = {"count", "sum", "min", "max", "distinct", "ratio", "where", "sketch", "per"};
  private static final List<String> TAKEN = List.of(
      "window_start", "window_end", "pane", "pane_index", "watermark", "emitted_at", "is_final", "flow");

  final List<Fed> fed = new ArrayList<>();
  final List<Measure> measures = new ArrayList<>();
  private final Section flow;
  private final Section table;
  private final List<Declared> declared = new ArrayList<>();

  /** One entry with its values; null where a key is not there. */
  private record Declared(
      String name, Section section, Match count, String at, List<String> ratio, Match where, Boolean sketch, Double per) {}

  MeasuresReader(Section flow) {
    this.flow = flow;
    table = flow.table("measures", "a table of measures such as { views = { count = { \"/type\" = \"view\" } } }");
    if (table == null) {
      return;
    }
    for (String name : table.keys()) {
      Section of = table.table(name, "a table");
      if (of != null) {
        declared.add(read(name, of.known(KEYS)));
      }
    }
  }

  private static Declared read(String name, Section of) {
    String at = null;
    for (String word : List.of("sum", "min", "max", "distinct")) {
      String pointer = of.pointer(word);
      at = at == null ? pointer : at;
    }
    Boolean sketch = null;
    if (of.has("sketch")) {
      sketch = of.value("sketch") instanceof Boolean bool ? bool : of.expected("sketch", "true or false");
    }
    Double per = null;
    if (of.has("per")) {
      per = of.value("per") instanceof Number number ? Double.valueOf(number.doubleValue())
          : of.expected("per", "a number above 0, such as 1000");
    }
    return new Declared(name, of, Matches.read(of, "count"), at, ratio(of), Matches.read(of, "where"), sketch, per);
  }

  private static List<String> ratio(Section of) {
    if (!of.has("ratio")) {
      return null;
    }
    if (of.value("ratio") instanceof TomlArray list && list.size() == 2 && list.get(0) instanceof String top
        && list.get(1) instanceof String bottom) {
      return List.of(top, bottom);
    }
    return of.expected("ratio", "the names of two measures, such as [\"clicks\", \"views\"]");
  }

  /** Resolves ratios and columns; whether there was no error. */
  boolean resolve(boolean hasCtr, boolean hasJoin, List<Flow.Column> by) {
    if (hasCtr) {
      shorthand(hasJoin);
    }
    for (Declared measure : declared) {
      if (!add(measure)) {
        return false;
      }
    }
    for (Declared measure : declared) {
      if (measure.ratio != null && !divide(measure)) {
        return false;
      }
    }
    if (fed.isEmpty()) {
      flow.error("measures", "the flow counts nothing; write views = { ... } and clicks = { ... }, or at least one measure "
          + "that is not a ratio");
      return false;
    }
    if (fed.size() > Flow.MOST) {
      flow.error("measures", "a flow has at most " + Flow.MOST + " measures that are not ratios");
      return false;
    }
    return checkColumns(by);
  }

  /** The measures that views and clicks are short for. */
  private void shorthand(boolean hasJoin) {
    fed.add(new Fed("views", Aggregation.COUNT, null, false, null, Source.VIEWS));
    fed.add(new Fed("clicks", Aggregation.COUNT, null, false, null, Source.CLICKS));
    measures.add(new Measure("views", 0, 0, 0, 1, false));
    measures.add(new Measure("clicks", 1, 0, 0, 1, false));
    measures.add(new Measure("ctr", -1, 1, 0, 1, true));
    if (hasJoin) {
      fed.add(new Fed("attributed_clicks", Aggregation.COUNT, null, false, null, Source.JOIN));
      measures.add(new Measure("attributed_clicks", 2, 0, 0, 1, false));
      measures.add(new Measure("ctr_attributed", -1, 2, 0, 1, false));
    }
  }

  private boolean add(Declared measure) {
    Section of = measure.section;
    if (measure.name.isEmpty()) {
      return fails(flow, "measures", "a measure needs a name; it is also its column");
    }
    List<String> words = WORDS.stream().filter(of::has).toList();
    if (words.isEmpty()) {
      return fails(table, measure.name, "write one of count, sum, min, max, distinct and ratio");
    }
    if (words.size() > 1) {
      return fails(of, words.get(1), "a measure is either " + words.get(0) + " or " + words.get(1) + "; write two measures");
    }
    String word = words.get(0);
    if (measure.sketch != null && !word.equals("distinct")) {
      return fails(of, "sketch", "only distinct has a sketch; remove it");
    }
    if (measure.per != null && !word.equals("ratio")) {
      return fails(of, "per", "only a ratio has a factor; remove it");
    }
    if (measure.where != null && word.equals("ratio")) {
      return fails(of, "where", "a ratio counts no events; write where in the measures that it divides");
    }
    if (measure.where != null && word.equals("count")) {
      return fails(of, "where", "a count states its condition directly: count = { \"/type\" = \"view\" }");
    }
    if (measure.per != null && !(Double.isFinite(measure.per) && measure.per > 0)) {
      return fails(of, "per", "the factor must be a finite number above 0, such as 1000");
    }
    if (word.equals("ratio")) {
      // Replaced later: the measures of a ratio may come after it.
      measures.add(new Measure(measure.name, -1, 0, 0, 1, false));
      return true;
    }
    Match where = word.equals("count") ? measure.count : measure.where;
    if (where != null && where.terms().isEmpty()) {
      if (!word.equals("count")) {
        return fails(of, "where", Matches.NOTHING);
      }
      // An empty match of a count is all events of the flow.
      where = null;
    }
    measures.add(new Measure(measure.name, fed.size(), 0, 0, 1, false));
    Aggregation aggregation = Aggregation.valueOf(word.toUpperCase(Locale.ROOT));
    boolean sketch = Boolean.TRUE.equals(measure.sketch);
    fed.add(new Fed(measure.name, aggregation, measure.at, sketch, where, Source.EVENTS));
    return true;
  }

  private boolean divide(Declared measure) {
    int[] columns = new int[2];
    for (int n = 0; n < 2; n++) {
      String wanted = measure.ratio.get(n);
      boolean isDeclared = declared.stream().anyMatch(other -> other.name.equals(wanted) && other.ratio != null);
      boolean isFed = fed.stream().anyMatch(other -> other.name().equals(wanted));
      if (isDeclared || !isFed && measures.stream().anyMatch(other -> other.name().equals(wanted))) {
        return fails(measure.section, "ratio", "\"" + wanted + "\" is a ratio itself; divide two measures that are not");
      }
    }
    for (int n = 0; n < 2; n++) {
      String wanted = measure.ratio.get(n);
      columns[n] = fed.stream().map(Fed::name).toList().indexOf(wanted);
      if (columns[n] < 0) {
        String hint = Problems.hint(wanted, fed.stream().map(Fed::name).toList(), "measures");
        return fails(measure.section, "ratio", "there is no measure \"" + wanted + "\" to divide; " + hint);
      }
    }
    boolean interval = fed.get(columns[0]).aggregation() == Aggregation.COUNT
        && fed.get(columns[1]).aggregation() == Aggregation.COUNT;
    int place = measures.stream().map(Measure::name).toList().lastIndexOf(measure.name);
    double per = measure.per == null ? 1 : measure.per;
    measures.set(place, new Measure(measure.name, -1, columns[0], columns[1], per, interval));
    return true;
  }

  private static boolean fails(Section at, String key, String text) {
    at.error(key, text);
    return false;
  }

  /** The names of a measure's columns. */
  static List<String> columns(Measure measure, List<Fed> fed) {
    String name = measure.name();
    if (measure.isRatio()) {
      return measure.interval() ? List.of(name, name + "_low", name + "_high") : List.of(name);
    }
    return fed.get(measure.value()).sketch() ? List.of(name, name + "_sketch") : List.of(name);
  }

  /** No measure may have a column that is there already. */
  private boolean checkColumns(List<Flow.Column> by) {
    List<String> taken = new ArrayList<>(TAKEN);
    for (Measure measure : measures) {
      boolean isDeclared = declared.stream().anyMatch(other -> other.name.equals(measure.name()));
      for (String column : columns(measure, fed)) {
        String lower = column.toLowerCase(Locale.ROOT);
        for (Flow.Column other : by) {
          if (other.name().toLowerCase(Locale.ROOT).equals(lower)) {
            String text = "the flow already has a column \"" + column + "\"; choose another name";
            return isDeclared ? fails(table, measure.name(), text) : fails(flow.table("by", ""), other.name(), text);
          }
        }
        if (taken.contains(lower)) {
          String text = "the table already has a column \"" + column + "\"; choose another name for the measure";
          return table == null ? fails(flow, "measures", text) : fails(table, measure.name(), text);
        }
        taken.add(lower);
      }
    }
    return true;
  }
}
