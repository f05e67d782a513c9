package aqueduct.count;

import aqueduct.event.Decimal;
import aqueduct.event.Times;
import aqueduct.event.Value;
import java.util.List;
import java.util.Set;

/** A declared flow, checked and resolved. Lengths are milliseconds. */
public record Flow(String name, List<Column> by, Match where, Match views, Match clicks, List<Fed> fed,
    List<Measure> measures, Windows windows, String time, long outOfOrderness, long allowedLateness, Long early,
    Join join) {
  /** The most stored measures of a flow: a bit for each. */
  public static final int MOST = 64;

  /** A column by which events are counted, and where its value is. */
  public record Column(String name, String pointer) {}

  /** How clicks find their views. */
  public record Join(String view, String click, long within, int limit) {}

  /** How the values of events become one. */
  public enum Aggregation { COUNT, SUM, MIN, MAX, DISTINCT }

  /** What feeds a stored measure. */
  public enum Source { EVENTS, VIEWS, CLICKS, JOIN }

  /** A stored measure. {@code at} is null for a count, {@code where} if all events of the source feed it. */
  public record Fed(String name, Aggregation aggregation, String at, boolean sketch, Match where, Source source) {}

  /** A measure in the order of the columns: stored, or a ratio of two that are. {@code value} is -1 for a ratio. */
  public record Measure(String name, int value, int of, int over, double per, boolean interval) {
    public boolean isRatio() {
      return value < 0;
    }
  }

  /** All terms must hold. */
  public record Match(List<Term> terms) {}

  /** One of the values, at a pointer; the pointer is null for the topic. */
  public record Term(String pointer, Set<String> texts, Set<Decimal> numbers, Set<String> bools) {
    public boolean holds(Value value) {
      return switch (value.kind()) {
        case TEXT -> texts.contains(value.text());
        case NUMBER -> !numbers.isEmpty() && contains(Decimal.parse(value.text()));
        case BOOL -> bools.contains(value.text());
        default -> false;
      };
    }

    private boolean contains(Decimal number) {
      return number != null && numbers.contains(number);
    }
  }

  /** Whether events may be taken back from where they were counted: a click moves when a nearer view arrives. */
  public boolean takesBack() {
    return join != null;
  }

  /** What a part of a slice must know of the watermark under which it was counted: it, if a window may have ended. */
  public long passed(long start, long watermark) {
    if (windows instanceof Windows.Sessions) {
      return watermark;
    }
    boolean[] isPassed = {false};
    if (watermark > start) {
      windows.holding(start, (from, end) -> isPassed[0] |= end <= watermark);
    }
    return isPassed[0] ? watermark : Times.MIN;
  }

  /** The bit of a source; 0 if nothing has it. */
  public long feeds(Source source) {
    for (int number = 0; number < fed.size(); number++) {
      if (fed.get(number).source() == source) {
        return 1L << number;
      }
    }
    return 0;
  }
}
