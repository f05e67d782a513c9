package aqueduct.count;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import aqueduct.event.Times;
import aqueduct.event.Value;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CountTest {
  private static List<Long> starts(Windows windows, long time) {
    List<Long> starts = new ArrayList<>();
    windows.holding(time, (start, end) -> starts.add(start));
    return starts;
  }

  @Test
  void holdingIsWhatASearchFinds() {
    Random random = new Random(7);
    for (int n = 0; n < 2_000; n++) {
      long size = 1 + random.nextInt(200);
      long period = 1 + random.nextInt(200);
      long time = random.nextInt(2_000) - 1_000;
      Windows windows = Windows.Sliding.of(size, period);
      List<Long> naive = new ArrayList<>();
      for (long start = -2_000; start <= 1_000; start++) {
        if (Math.floorMod(start, period) == 0 && start <= time && time < start + size) {
          naive.add(start);
        }
      }
      assertEquals(naive, starts(windows, time), size + "/" + period + " at " + time);
      assertEquals(starts(windows, time), starts(windows, windows.slice(time)), "no window cuts a slice");
    }
  }

  @ParameterizedTest
  @CsvSource({
      "DAY, Europe/Warsaw, 2026-03-29T10:00:00Z, 2026-03-28T23:00:00Z, 2026-03-29T22:00:00Z",
      "DAY, Europe/Warsaw, 2026-10-25T22:59:59.999Z, 2026-10-24T22:00:00Z, 2026-10-25T23:00:00Z",
      "WEEK, Europe/Warsaw, 2026-11-29T12:00:00Z, 2026-11-22T23:00:00Z, 2026-11-29T23:00:00Z",
      "MONTH, UTC, 2024-02-29T23:59:59Z, 2024-02-01T00:00:00Z, 2024-03-01T00:00:00Z",
      "DAY, America/Sao_Paulo, 2018-11-04T12:00:00Z, 2018-11-04T03:00:00Z, 2018-11-05T02:00:00Z",
      "DAY, Pacific/Apia, 2011-12-30T09:59:59Z, 2011-12-29T10:00:00Z, 2011-12-30T10:00:00Z",
      "DAY, Pacific/Apia, 2011-12-30T10:00:00Z, 2011-12-30T10:00:00Z, 2011-12-31T10:00:00Z",
  })
  void daysFollowTheClockOfTheZone(Windows.Calendar.Unit unit, String zone, String time, String start, String end) {
    var window = new Windows.Calendar(unit, ZoneId.of(zone)).window(Times.parse(time));
    assertEquals(new Windows.Window(Times.parse(start), Times.parse(end)), window);
  }

  /** As Rust's serde_json writes them. */
  @ParameterizedTest
  @CsvSource({"0.0, 0.0", "1.0, 1.0", "0.25, 0.25", "0.04558726080970055, 0.04558726080970055", "100000.0, 100000.0",
      "1e15, 1000000000000000.0", "1e16, 1e+16", "-3.086419725308642e21, -3.086419725308642e+21", "1e-5, 0.00001",
      "1.5e-7, 1.5e-7", "2e-3, 0.002", "1e23, 1e+23", "2.2250738585072014e-308, 2.2250738585072014e-308", "123456.75, 123456.75"})
  void doublesHaveTheShortestDigits(double number, String text) {
    assertEquals(text, Doubles.json(number));
  }

  @Test
  void intervalsAreThePublishedOnes() {
    double[] interval = Doubles.interval(20, 100);
    assertTrue(Math.abs(interval[0] - 0.1334) < 1e-4 && Math.abs(interval[1] - 0.2888) < 1e-4);
    assertEquals(null, Doubles.interval(2, 1));
    assertEquals(null, Doubles.interval(0, 0));
    assertEquals(null, Doubles.rate(3, 0));
  }

  /** Vectors of the reference implementation of XXH3: one for each of its ways through short and long inputs. */
  @ParameterizedTest
  @CsvSource({"'', 2d06800538d394c2", "a, e6c632b61e964e1f", "abc, 78af5f94892f3950"})
  void valuesAreHashedAsInRust(String value, String hash) {
    assertEquals(hash, String.format("%016x", Reader.hash(value)));
  }

  /** As in the writers of the processor, so that both name a row alike. */
  @Test
  void longKeysAreHashed() {
    Line line = line("x".repeat(1_100));
    assertEquals("sha256:83794f225d3eccd44fe332a5031b917d692666dd455512f0bb62a4f74a301f6e", line.rowKey());
    assertEquals("[\"f\",\"sha256:47de41df652074df36f7ee8e0b9d786a75280a366b97f7a70fe074fbe1172f95\"]",
        line.orderingKey("f"));
    assertEquals("[null]", line((String) null).rowKey());
    assertEquals("[\"f\",\"a\\\"b\"]", line("a\"b").orderingKey("f"));
  }

  private static Line line(String by) {
    Value value = by == null ? Value.NULL : new Value(Value.Kind.TEXT, by);
    return new Line(Line.Table.ROWS, 0, Keys.of(new Value[] {value}, new int[] {0}), 0, "ON_TIME", "{}");
  }
}
