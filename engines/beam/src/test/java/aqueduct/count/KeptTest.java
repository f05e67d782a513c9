package aqueduct.count;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import aqueduct.config.Config;
import aqueduct.event.Times;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The panes of one key, whose windows are saved and restored after every step. */
class KeptTest {
  private static final long NEVER = Times.MIN;

  /** The windows of a key, and the panes that have fired. */
  private static final class Bench {
    final Flow flow;
    final List<String> panes = new ArrayList<>();
    Kept kept;

    Bench(String window) throws Exception {
      this(window, "measures.n = { count = {} }");
    }

    Bench(String window, String counted) throws Exception {
      String text = "[events]\ntime = \"/t\"\n[[flows]]\nname = \"f\"\nby = { page = \"/p\" }\nwindow = " + window
          + "\nallowed_lateness = \"20s\"\n" + counted + "\n";
      flow = Config.parse("aqueduct.toml", text, Map.of()).flows().get(0);
      kept = Kept.of(flow);
    }

    void add(long slice, long floor, long passed) throws IOException {
      Cells cells = new Cells(flow);
      cells.add(1, new Object[0], 1);
      kept.add(slice, floor, passed, cells);
      restart();
    }

    /** Changes the last measure, a sum, by an event whose value is 0. */
    void addZero(long times) throws IOException {
      Cells cells = new Cells(flow);
      cells.add(1L << flow.fed().size() - 1, new Object[] {BigInteger.ZERO}, times);
      kept.add(0, NEVER, NEVER, cells);
      restart();
    }

    private void restart() throws IOException {
      ByteArrayOutputStream saved = new ByteArrayOutputStream();
      kept.write(new DataOutputStream(saved));
      kept = Kept.read(flow, new DataInputStream(new ByteArrayInputStream(saved.toByteArray())));
    }

    private void fired(long start, long end, Cells cells, Rows.Firing firing) {
      panes.add(firing.pane() + " " + firing.index() + " " + start + ".." + end + " " + cells.count(0));
    }

    /** The panes that fire when the watermark reaches what is due. */
    List<String> due(long at) throws IOException {
      assertEquals(at, kept.due());
      panes.clear();
      kept.advance(at, 0, this::fired);
      restart();
      return List.copyOf(panes);
    }

    List<String> early() throws IOException {
      panes.clear();
      kept.early(0, 0, this::fired);
      restart();
      return List.copyOf(panes);
    }
  }

  @Test
  void windowsFireOnTimeThenLate() throws Exception {
    Bench bench = new Bench("{ size = \"10s\", period = \"5s\" }");
    bench.add(5_000, NEVER, NEVER);
    assertEquals(List.of("ON_TIME 0 0..10000 1"), bench.due(10_000));
    assertEquals(List.of("EARLY 0 5000..15000 1"), bench.early());
    assertEquals(List.of(), bench.early());
    bench.add(5_000, NEVER, 10_000);
    assertEquals(List.of("LATE 1 0..10000 2"), bench.due(10_001));
    assertEquals(List.of("ON_TIME 1 5000..15000 2"), bench.due(15_000));
    assertEquals(List.of(), bench.due(30_000));
    assertEquals(List.of(), bench.due(35_000));
    assertTrue(bench.kept.isEmpty());
  }

  @Test
  void partIsNotInWindowsThatWereOver() throws Exception {
    Bench bench = new Bench("{ size = \"10s\", period = \"5s\" }");
    bench.add(5_000, 15_000, 30_000);
    assertEquals(List.of("LATE 0 5000..15000 1"), bench.due(30_001));
  }

  @Test
  void extendedSessionIsOpenAgain() throws Exception {
    Bench bench = new Bench("{ session = \"5s\" }");
    bench.add(1_000, NEVER, NEVER);
    assertEquals(List.of("ON_TIME 0 1000..6000 1"), bench.due(6_000));
    bench.add(5_000, NEVER, 6_000);
    assertEquals(List.of("EARLY 1 1000..10000 2"), bench.due(6_001));
    assertEquals(List.of("ON_TIME 2 1000..10000 2"), bench.due(10_000));
    bench.add(2_000, NEVER, 10_000);
    assertEquals(List.of("LATE 3 1000..10000 3"), bench.due(10_001));
    assertEquals(List.of(), bench.due(35_000));
    assertTrue(bench.kept.isEmpty());
  }

  @Test
  void keyHasNoRowOnceAllIsTakenBack() throws Exception {
    String joined = "views = { \"/k\" = 0 }\nclicks = { \"/k\" = 1 }\njoin = { on = \"/u\", within = \"10s\" }\n"
        + "measures.sum = { sum = \"/n\" }";
    Bench bench = new Bench("{ size = \"10s\" }", joined);
    bench.addZero(1);
    assertEquals(List.of("ON_TIME 0 0..10000 0"), bench.due(10_000));
    Bench other = new Bench("{ size = \"10s\" }", joined);
    other.addZero(1);
    other.addZero(-1);
    assertEquals(List.of(), other.due(10_000));
  }

  @Test
  void sessionThatStaysOverIsLate() throws Exception {
    Bench bench = new Bench("{ session = \"5s\" }");
    bench.add(1_000, NEVER, NEVER);
    assertEquals(List.of("ON_TIME 0 1000..6000 1"), bench.due(6_000));
    bench.add(2_000, NEVER, 9_000);
    assertEquals(List.of("LATE 1 1000..7000 2"), bench.due(9_001));
  }

  @Test
  void windowWaitsForTheSlowestReader() throws Exception {
    Bench bench = new Bench("{ session = \"5s\" }");
    bench.add(1_000, NEVER, NEVER);
    bench.add(2_000, NEVER, 9_000);
    bench.add(20_000, NEVER, 9_000);
    assertEquals(List.of("ON_TIME 0 1000..7000 2"), bench.due(7_000));
  }

  @Test
  void latePaneHasAllThatWasCountedUnderItsWatermark() throws Exception {
    Bench bench = new Bench("{ size = \"10s\" }");
    bench.add(0, NEVER, 12_000);
    bench.add(0, NEVER, 12_000);
    assertEquals(List.of("LATE 0 0..10000 2"), bench.due(12_001));
  }

  @Test
  void sessionsBetweenWhichAnEventFallsBecomeOne() throws Exception {
    Bench bench = new Bench("{ session = \"5s\" }");
    bench.add(1_000, NEVER, NEVER);
    bench.add(9_000, NEVER, NEVER);
    assertEquals(List.of("EARLY 0 1000..6000 1", "EARLY 0 9000..14000 1"), bench.early());
    bench.add(5_000, NEVER, NEVER);
    assertEquals(List.of("ON_TIME 2 1000..14000 3"), bench.due(14_000));
  }
}
