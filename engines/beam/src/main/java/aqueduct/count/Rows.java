package aqueduct.count;

import aqueduct.event.Decimal;
import aqueduct.event.Times;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;

/** Rows as lines of JSON: the columns, their order and their format are those of {@code aqueduct replay}. */
public final class Rows {
  private final Flow flow;
  private final String start;

  public Rows(Flow flow) {
    this.flow = flow;
    start = "{\"flow\":" + quoted(flow.name());
  }

  /** When and why a pane fired. */
  public record Firing(String pane, long index, long watermark, long emittedAt) {}

  public String line(byte[] key, long windowStart, long windowEnd, Cells cells, Firing firing) {
    StringBuilder out = new StringBuilder(start);
    List<byte[]> values = Keys.values(key);
    for (int n = 0; n < values.size(); n++) {
      byte[] value = values.get(n);
      String text = value == null ? "null" : quoted(new String(value, StandardCharsets.UTF_8));
      column(out, flow.by().get(n).name(), text);
    }
    column(out, "window_start", time(windowStart));
    column(out, "window_end", time(windowEnd));
    for (Flow.Measure measure : flow.measures()) {
      measure(out, measure, cells);
    }
    column(out, "pane", quoted(firing.pane));
    column(out, "pane_index", Long.toString(firing.index));
    column(out, "watermark", time(firing.watermark));
    column(out, "emitted_at", time(firing.emittedAt));
    return out.append('}').toString();
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

  private static String quoted(String text) {
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
