package aqueduct.count;

import aqueduct.event.Decimal;
import aqueduct.event.Times;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** Rows as lines of JSON: the columns, their order and their format are those of {@code aqueduct replay}. */
public final class Rows {
  /** The columns of a flow's progress. */
  public static final List<String> OUTCOMES = List.of("counted", "duplicate", "late", "rejected", "ignored", "unmatched",
      "lost", "absent", "pending", "filtered");

  private static final byte[] NO_KEY = {};

  private final Flow flow;
  private final String start;

  public Rows(Flow flow) {
    this.flow = flow;
    start = "{\"flow\":" + quoted(flow.name());
  }

  /** When and why a pane fired. */
  public record Firing(String pane, long index, long watermark, long emittedAt) {}

  /** The row of a pane. {@code number} is that of the flow. */
  public Line line(int number, byte[] key, Windows.Window window, Cells cells, Firing firing) {
    StringBuilder out = new StringBuilder(start);
    List<String> values = Keys.texts(key);
    for (int n = 0; n < values.size(); n++) {
      column(out, flow.by().get(n).name(), values.get(n) == null ? "null" : quoted(values.get(n)));
    }
    column(out, "window_start", time(window.start()));
    column(out, "window_end", time(window.end()));
    for (Flow.Measure measure : flow.measures()) {
      measure(out, measure, cells);
    }
    column(out, "pane", quoted(firing.pane));
    column(out, "pane_index", Long.toString(firing.index));
    column(out, "watermark", time(firing.watermark));
    column(out, "emitted_at", time(firing.emittedAt));
    return new Line(Line.Table.ROWS, number, key, firing.index, firing.pane, out.append('}').toString());
  }

  /** A row of a flow's progress: how many events had each outcome up to a watermark. {@code detail} may be null. */
  public Line progress(int number, long at, long watermark, Map<String, Long> outcomes, String detail) {
    StringBuilder out = new StringBuilder(start);
    column(out, "at", time(at));
    column(out, "watermark", time(watermark));
    OUTCOMES.forEach(outcome -> column(out, outcome, Long.toString(outcomes.getOrDefault(outcome, 0L))));
    if (detail != null) {
      column(out, "detail", quoted(detail));
    }
    return new Line(Line.Table.PROGRESS, number, NO_KEY, 0, "", out.append('}').toString());
  }

  /** The position of a rejected event, and which stage refused it for which reason. */
  public static Line deadLetter(
      String topic, long partition, long offset, String stage, Reader.Refusal refusal, long seenAt) {
    StringBuilder out = new StringBuilder("{\"topic\":").append(quoted(topic));
    column(out, "partition", Long.toString(partition));
    column(out, "offset", Long.toString(offset));
    column(out, "stage", quoted(stage));
    column(out, "reason", quoted(refusal.reason()));
    column(out, "pointer", refusal.pointer() == null ? "null" : quoted(refusal.pointer()));
    column(out, "seen_at", time(seenAt));
    return new Line(Line.Table.DEAD_LETTERS, -1, NO_KEY, 0, "", out.append('}').toString());
  }

  private void measure(StringBuilder out, Flow.Measure measure, Cells cells) {
    String name = measure.name();
    if (measure.isRatio()) {
      Double of = number(measure.of(), cells);
      Double over = number(measure.over(), cells);
      Double rate = of == null || over == null ? null : Doubles.rate(of, over);
      column(out, name, rate == null ? "null" : Doubles.json(rate * measure.per()));
      if (measure.interval()) {
        double[] interval = Doubles.interval(cells.count(measure.of()), cells.count(measure.over()));
        column(out, name + "_low", interval == null ? "null" : Doubles.json(interval[0] * measure.per()));
        column(out, name + "_high", interval == null ? "null" : Doubles.json(interval[1] * measure.per()));
      }
      return;
    }
    Flow.Fed fed = flow.fed().get(measure.value());
    switch (fed.aggregation()) {
      case COUNT, DISTINCT -> column(out, name, Long.toString(cells.count(measure.value())));
      default -> {
        BigInteger number = cells.number(measure.value());
        column(out, name, number == null ? "null" : Decimal.text(number));
      }
    }
    if (fed.sketch()) {
      column(out, name + "_sketch", quoted(Base64.getEncoder().encodeToString(cells.sketchBytes(measure.value()))));
    }
  }

  /** The value of a stored measure as the nearest double; null for NULL. */
  private Double number(int value, Cells cells) {
    Flow.Aggregation aggregation = flow.fed().get(value).aggregation();
    if (aggregation == Flow.Aggregation.COUNT || aggregation == Flow.Aggregation.DISTINCT) {
      return (double) cells.count(value);
    }
    BigInteger number = cells.number(value);
    return number == null ? null : Double.valueOf(new BigDecimal(number, Decimal.SCALE).doubleValue());
  }

  private static void column(StringBuilder out, String name, String value) {
    out.append(",\"").append(name).append("\":").append(value);
  }

  private static String time(long time) {
    return "\"" + Times.text(time) + "\"";
  }

  /** A JSON string. */
  public static String quoted(String text) {
    StringBuilder out = new StringBuilder(text.length() + 2).append('"');
    for (int n = 0; n < text.length(); n++) {
      char c = text.charAt(n);
      int escape = "\"\\\b\f\n\r\t".indexOf(c);
      if (escape >= 0) {
        out.append('\\').append("\"\\bfnrt".charAt(escape));
      } else if (c < 0x20) {
        out.append(String.format("\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    return out.append('"').toString();
  }
}
