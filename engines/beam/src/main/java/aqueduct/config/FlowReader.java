package aqueduct.config;

import aqueduct.count.Flow;
import aqueduct.count.Flow.Match;
import aqueduct.count.Windows;
import java.time.DateTimeException;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.tomlj.TomlTable;

/** One [[flows]] table: first the types of its values, then what follows from them. */
final class FlowReader {
  private static final String[] KEYS = {"name", "by", "where", "views", "clicks", "measures", "window", "time",
      "out_of_orderness", "allowed_lateness", "early", "join"};
  /** No length is longer: 100 years. */
  private static final long LONGEST = 36_525L * 86_400_000;

  private static final long DAY = 86_400_000;
  /** Sizes that are units of the calendar where there is a time zone; a month has no length of its own. */
  private static final long MONTH = -1;

  private static final int MOST_JOINED = 1_000_000;

  final Section section;
  private final Set<String> failed = new HashSet<>();
  private final String name;
  private final List<Flow.Column> by = new ArrayList<>();
  private final Match where;
  private final Match views;
  private final Match clicks;
  private final MeasuresReader measures;
  private final Section window;
  private Long size;
  private String unit;
  private Long period;
  private Long session;
  private String zone;
  private final String time;
  private final long outOfOrderness;
  private final long allowedLateness;
  private final Long early;
  private Section joinTable;
  private Flow.Join join;

  FlowReader(Section section) {
    this.section = section;
    section.known(KEYS);
    name = section.requires("name", KEYS) ? section.text("name", "a string") : null;
    if (section.requires("by", KEYS)) {
      readBy();
    }
    where = Matches.read(section, "where");
    views = Matches.read(section, "views");
    clicks = Matches.read(section, "clicks");
    measures = new MeasuresReader(section);
    window = section.requires("window", KEYS) ? section.table("window", "a table") : null;
    if (window != null) {
      readWindow();
    }
    String kind = section.word("time", List.of("event", "kafka", "processing"));
    time = kind == null ? "event" : kind;
    outOfOrderness = orElse(section.millis("out_of_orderness"), 30_000);
    allowedLateness = orElse(section.millis("allowed_lateness"), 3_600_000);
    early = section.millis("early");
    if (section.has("join")) {
      readJoin();
    }
  }

  private static long orElse(Long value, long other) {
    return value == null ? other : value;
  }

  private void readBy() {
    Section columns = section.table("by", "a table of columns such as { page = \"/page\" }");
    if (columns == null) {
      return;
    }
    for (String column : columns.keys()) {
      String pointer = columns.pointer(column);
      if (pointer != null) {
        by.add(new Flow.Column(column, pointer));
      }
    }
    if (columns.keys().isEmpty()) {
      section.error("by", "name at least one column, such as { page = \"/page\" }");
    }
  }

  private void readWindow() {
    window.known("size", "period", "session", "timezone");
    size = window.millis("size", text -> {
      unit = List.of("1d", "1w", "1mo").contains(text) ? text : null;
      return unit == null ? null : unit.equals("1d") ? Long.valueOf(DAY) : unit.equals("1w") ? 7 * DAY : MONTH;
    });
    period = window.millis("period");
    session = window.millis("session");
    zone = window.text("timezone", "a string");
  }

  private void readJoin() {
    joinTable = section.table("join", "a table");
    if (joinTable == null) {
      return;
    }
    String[] known = {"on", "within", "limit"};
    joinTable.known(known);
    boolean hasAll = joinTable.requires("on", known) & joinTable.requires("within", known);
    String view = null;
    String click = null;
    if (joinTable.value("on") instanceof TomlTable) {
      Section on = joinTable.table("on", "");
      on.known("view", "click");
      view = on.requires("view", "view", "click") ? on.pointer("view") : null;
      click = on.requires("click", "view", "click") ? on.pointer("click") : null;
    } else if (joinTable.has("on")) {
      if (joinTable.value("on") instanceof String) {
        view = click = joinTable.pointer("on");
      } else {
        joinTable.expected("on", "a pointer such as \"/view_id\", or { view = \"/id\", click = \"/view_id\" }");
      }
    }
    Long within = joinTable.millis("within");
    long limit = 10_000;
    if (joinTable.has("limit")) {
      if (joinTable.value("limit") instanceof Long number && number >= 0) {
        limit = number;
      } else {
        joinTable.error("limit", "expected an integer of at least 0");
      }
    }
    if (hasAll && within != null) {
      join = new Flow.Join(view, click, within, (int) Math.min(limit, Integer.MAX_VALUE));
    }
  }

  /** The flow; null if it is wrong. */
  Flow resolve() {
    if (name.isEmpty()) {
      section.error("name", "a flow needs a name; it is also its table");
      failed.add("name");
    }
    checkLengths();
    if (!failed.isEmpty()) {
      return null;
    }
    if (early != null && early < 1_000) {
      fail(section, "early", "must be at least \"1s\"");
    }
    Windows windows = windows();
    Matches.required(section, "where", where, failed);
    checkCtr();
    if (windows instanceof Windows.Sessions sessions && allowedLateness < sessions.gap()) {
      fail(window, "session", "is longer than allowed_lateness: a late event can connect two sessions that are up to the "
          + "gap apart, but the first would no longer be in memory; increase allowed_lateness, or shorten the gap");
    }
    if (join != null) {
      checkJoin(windows);
    }
    boolean hasCtr = views != null || clicks != null;
    boolean isWhole = measures.resolve(hasCtr, join != null, by);
    if (!failed.isEmpty() || !isWhole) {
      return null;
    }
    return new Flow(name, List.copyOf(by), where, views, clicks, measures.fed, measures.measures, windows, time,
        outOfOrderness, allowedLateness, early, join);
  }

  /** Reports a key that is valid and cannot have the effect that it is for. */
  boolean isEffective(Flow flow) {
    boolean isSession = flow.windows() instanceof Windows.Sessions;
    if (early == null || isSession || early < flow.windows().shortest()) {
      return true;
    }
    section.error("early", "is not shorter than a window, so a window can close without an early pane; shorten it, or "
        + "remove it");
    return false;
  }

  private void fail(Section at, String key, String text) {
    at.error(key, text);
    failed.add(key);
  }

  private void checkLengths() {
    String text = "is too long; the maximum is \"36525d\" (100 years)";
    Object[][] lengths = {{window, "size", unit == null ? size : null}, {window, "period", period},
        {window, "session", session}, {section, "out_of_orderness", outOfOrderness},
        {section, "allowed_lateness", allowedLateness}, {section, "early", early},
        {joinTable, "within", join == null ? null : join.within()}};
    for (Object[] length : lengths) {
      if (length[2] instanceof Long millis && millis > LONGEST) {
        fail((Section) length[0], (String) length[1], text);
      }
    }
  }

  private Windows windows() {
    if (session != null) {
      for (String key : List.of("size", "period", "timezone")) {
        if (window.has(key)) {
          fail(window, key, "a session has no size, period or time zone; remove it, or remove session");
          return null;
        }
      }
      if (session == 0) {
        fail(window, "session", "the gap must be longer than 0; write for example session = \"30m\"");
        return null;
      }
      return new Windows.Sessions(session);
    }
    if (size == null) {
      fail(section, "window", "write size = \"10m\" or session = \"30m\"");
      return null;
    }
    return zone != null ? calendar() : sliding();
  }

  private Windows calendar() {
    if (period != null) {
      fail(window, "period", "calendar windows follow each other without a period; remove it, or remove timezone");
      return null;
    }
    if (unit == null) {
      fail(window, "size", "with a time zone the size is \"1d\", \"1w\" or \"1mo\"; write one of these, or remove timezone");
      return null;
    }
    boolean isPlace = ZoneId.getAvailableZoneIds().contains(zone) && !zone.startsWith("SystemV/");
    try {
      ZoneId id = isPlace ? ZoneId.of(zone) : null;
      if (id != null) {
        Windows.Calendar.Unit of = unit.equals("1d") ? Windows.Calendar.Unit.DAY
            : unit.equals("1w") ? Windows.Calendar.Unit.WEEK : Windows.Calendar.Unit.MONTH;
        return new Windows.Calendar(of, id);
      }
    } catch (DateTimeException error) {
      // Reported below, as every other name that is unknown.
    }
    fail(window, "timezone", "unknown time zone \"" + zone + "\"; write a name of the IANA time zone database, such as "
        + "\"Europe/Warsaw\"");
    return null;
  }

  private Windows sliding() {
    if (size == MONTH) {
      fail(window, "size", "months have no fixed length; add timezone = \"UTC\" or the zone whose months you count");
      return null;
    }
    long every = period == null ? size : period;
    if (size == 0 || every == 0) {
      fail(window, size == 0 ? "size" : "period", "size and period must be longer than 0");
      return null;
    }
    Windows.Sliding sliding = Windows.Sliding.of(size, every);
    if (size / every > Windows.MAX_OVERLAP) {
      fail(window, "period", "an event would fall into more than " + Windows.MAX_OVERLAP
          + " windows; use a longer period or a shorter size");
      return null;
    }
    if (size / sliding.slice() > Windows.MAX_SLICES) {
      fail(window, "period", "each window would consist of more than " + Windows.MAX_SLICES
          + " slices; choose a period that divides the size");
      return null;
    }
    return sliding;
  }

  private void checkCtr() {
    if (views != null && clicks != null) {
      Matches.required(section, "views", views, failed);
      if (!failed.contains("views")) {
        Matches.required(section, "clicks", clicks, failed);
      }
    } else if (views != null || clicks != null) {
      String lone = views != null ? "views" : "clicks";
      String other = views != null ? "clicks" : "views";
      fail(section, lone, lone + " needs " + other + " beside it; for one of them alone write a count in [flows.measures]");
    }
  }

  private void checkJoin(Windows windows) {
    if (views == null && clicks == null) {
      fail(section, "join", "a join connects views and clicks; write views = { ... } and clicks = { ... } in the flow");
    }
    if (windows instanceof Windows.Sessions) {
      fail(section, "join", "a flow with session windows cannot have a join; use windows with a size, or remove the join");
    }
    if (join.limit() == 0) {
      fail(joinTable, "limit", "must be at least 1; to join nothing, remove join");
    }
    if (join.limit() > MOST_JOINED) {
      fail(joinTable, "limit", "is too large; the maximum is " + MOST_JOINED);
    }
    if (allowedLateness < join.within()) {
      fail(section, "allowed_lateness", "is shorter than join.within: a click would be counted as unmatched while its view "
          + "can still arrive; increase it, or shorten join.within");
    }
  }
}
