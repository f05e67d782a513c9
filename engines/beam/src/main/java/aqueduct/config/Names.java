package aqueduct.config;

import aqueduct.count.Flow;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The names of flows and columns, which are tables and columns of a database. */
final class Names {
  private static final List<String> PREFIXES = List.of("_table_", "_file_", "_partition", "_row_timestamp", "__root__",
      "_colidentifier", "_change_", "sqlite_");
  private static final List<String> COLUMNS = List.of("flow", "is_final", "rowid", "window_start", "window_end", "pane",
      "pane_index", "watermark", "emitted_at");

  private Names() {}

  /** Reports the first name that is invalid. */
  static void check(List<Flow> flows, List<Section> tables, Problems problems) {
    Map<String, String> taken = new HashMap<>();
    List.of("dead_letters", "aqueduct_streams", "aqueduct_pipelines").forEach(name -> taken.put(name, ""));
    for (int n = 0; n < flows.size() && problems.isEmpty(); n++) {
      Flow flow = flows.get(n);
      String problem = identifier(flow.name());
      if (problem != null) {
        tables.get(n).error("name", problem);
        return;
      }
      List<String> suffixes = new ArrayList<>(List.of("", "_progress", "_latest", "_panes"));
      if (flow.windows() instanceof aqueduct.count.Windows.Sessions) {
        suffixes.add("_sessions");
      }
      for (String suffix : suffixes) {
        if (taken.put((flow.name() + suffix).toLowerCase(Locale.ROOT), flow.name()) != null) {
          tables.get(n).error("name", "would create a second table \"" + flow.name() + suffix + "\"; choose another");
          return;
        }
      }
      columns(flow, tables.get(n));
    }
  }

  private static void columns(Flow flow, Section table) {
    Section measures = table.table("measures", "a table");
    for (Flow.Measure measure : flow.measures()) {
      for (String column : MeasuresReader.columns(measure, flow.fed())) {
        String problem = column(column);
        if (problem != null) {
          (measures == null ? table : measures).error(measures == null ? "measures" : measure.name(), problem);
          return;
        }
      }
    }
    Section by = table.table("by", "a table");
    List<String> seen = new ArrayList<>();
    for (Flow.Column column : flow.by()) {
      String problem = column(column.name());
      String lower = column.name().toLowerCase(Locale.ROOT);
      if (problem == null && seen.contains(lower)) {
        problem = "has the same name as another column (column names ignore case); choose another";
      }
      if (problem != null) {
        by.error(column.name(), problem);
        return;
      }
      seen.add(lower);
    }
  }

  private static String column(String name) {
    String problem = identifier(name);
    if (problem == null && COLUMNS.contains(name.toLowerCase(Locale.ROOT))) {
      return "is a column of every row or of a view already; choose another";
    }
    return problem;
  }

  private static String identifier(String name) {
    if (name.isEmpty() || name.length() > 128) {
      return "must be 1 to 128 characters long";
    }
    if (!name.matches("[A-Za-z_][A-Za-z0-9_]*")) {
      return "can contain only letters, digits and underscores, and begins with none of the digits; choose another";
    }
    String lower = name.toLowerCase(Locale.ROOT);
    for (String prefix : PREFIXES) {
      if (lower.startsWith(prefix)) {
        return "begins with \"" + prefix + "\", which is reserved; choose another";
      }
    }
    return null;
  }
}
