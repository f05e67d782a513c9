package aqueduct.stream;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import aqueduct.config.Config;
import aqueduct.count.Cells;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Ledger;
import aqueduct.count.Line;
import aqueduct.event.Times;
import com.github.luben.zstd.Zstd;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Messages and marks in any order, with restarts. */
class CoreTest {
  private static final long NOW = 1_790_000_000_000L;
  private static final String TOPIC = "q2fZkNvSQh2o4lLhQ0w1Yg";
  private static final String CONFIG = """
      [pubsub]
      project = "project"
      topic = "events"
      subscription = "ctr"
      %s
      [state]
      idle_after = "10s"
      cold_start = "30s"
      [events]
      time = "/t"
      [[flows]]
      name = "f"
      by = { page = "/p" }
      window = { size = "10s" }
      measures.n = { count = {} }
      """;

  /** A core whose output is added up. */
  private static final class Bench implements Core.Sink {
    final Config config;
    final boolean mayBeCold;
    final int shard;
    final Map<Long, Long> counts = new HashMap<>();
    final List<String> letters = new ArrayList<>();
    Core core;

    Bench(int shards, int shard, boolean mayBeCold) throws Exception {
      this(CONFIG.formatted(shards > 1 ? "shards = " + shards : ""), shard, mayBeCold);
    }

    Bench(String text, int shard, boolean mayBeCold) throws Exception {
      config = Config.parse("aqueduct.toml", text, Map.of());
      this.mayBeCold = mayBeCold;
      this.shard = shard;
      core = core();
    }

    private Core core() throws Exception {
      return new Core(config, config.stream(), shard, mayBeCold, this, NOW);
    }

    /** Saves and restores, as a checkpoint does. */
    void restart() throws Exception {
      core.pass();
      ByteArrayOutputStream saved = new ByteArrayOutputStream();
      core.write(new DataOutputStream(saved));
      core = core();
      core.read(new DataInputStream(new ByteArrayInputStream(saved.toByteArray())));
      ByteArrayOutputStream again = new ByteArrayOutputStream();
      core.write(new DataOutputStream(again));
      assertEquals(saved.size(), again.size());
    }

    void data(int partition, long offset) throws Exception {
      String event = "{\"t\":" + time(offset) + ",\"p\":\"a\",\"id\":" + offset % 5 + "}";
      core.data(attributes(partition, Map.of("kafka.offset", "" + offset, "kafka.timestamp", "" + time(offset))),
          event.getBytes(StandardCharsets.UTF_8), NOW, NOW);
    }

    /** A record of partition 0 or, with a number, its message of a redrive. */
    void send(long offset, String event, long redrive) throws Exception {
      Map<String, String> own = new HashMap<>(Map.of("kafka.offset", "" + offset, "kafka.timestamp", "" + NOW));
      if (redrive > 0) {
        own.putAll(Map.of("aqueduct.format", "redrive-1", "aqueduct.redrive", "" + redrive));
      }
      core.data(attributes(0, own), event.getBytes(StandardCharsets.UTF_8), NOW, NOW);
    }

    /** How many offsets of each flow have an outcome. */
    List<Long> outcomes(String outcome) {
      return core.ledgers(NOW).stream().map(ledger -> ledger.columns().get(outcome)).toList();
    }

    void mark(String partitions, int count, long now) throws Exception {
      String mark = "{\"version\":1,\"replica\":\"a\",\"sequence\":1,\"partitions\":[" + partitions + "],\"topics\":[{\"topic\":"
          + "\"events\",\"incarnation\":\"" + TOPIC + "\",\"partitions\":" + count + ",\"asked_at\":" + now + "}]}";
      core.mark(mark.getBytes(StandardCharsets.UTF_8), now, now);
    }

    @Override
    public void part(int flow, byte[] key, long start, long floor, long passed, Cells cells) {
      counts.merge(start, cells.count(0), Long::sum);
    }

    @Override
    public void join(JoinEvent event) {
      throw new AssertionError("no flow has a join");
    }

    @Override
    public void line(Line line) {
      letters.add(line.json().replaceAll(",\"seen_at\".*", ""));
    }
  }

  private static long time(long offset) {
    return NOW - 60_000 + offset * 100;
  }

  private static Map<String, String> attributes(int partition, Map<String, String> own) {
    Map<String, String> all = new HashMap<>(own);
    all.put("kafka.topic", "events");
    all.put("aqueduct.incarnation", TOPIC);
    all.put("kafka.partition", "" + partition);
    return all;
  }

  private static String entry(int partition, String ranges, long position, long end, long now) {
    return "{\"topic\":\"events\",\"incarnation\":\"" + TOPIC + "\",\"partition\":" + partition + ",\"ranges\":[" + ranges
        + "],\"position\":" + position + ",\"committed\":" + position + ",\"end\":{\"offset\":" + end + ",\"asked_at\":" + now
        + "}}";
  }

  @Test
  void copiesInAnyOrderAndAcrossRestartsCountOnce() throws Exception {
    Random random = new Random(7);
    for (int round = 0; round < 20; round++) {
      Bench bench = new Bench(1, 0, true);
      List<long[]> messages = new ArrayList<>();
      for (int copy = 0; copy < 2; copy++) {
        for (long offset = 0; offset < 100; offset++) {
          messages.add(new long[] {offset % 2, offset / 2});
        }
      }
      Collections.shuffle(messages, random);
      for (long[] message : messages) {
        bench.data((int) message[0], message[1]);
        if (random.nextInt(20) == 0) {
          bench.restart();
        }
      }
      bench.mark(entry(0, "", 50, 50, NOW) + "," + entry(1, "", 50, 50, NOW), 2, NOW);
      bench.core.advance(NOW);
      assertEquals(100, bench.counts.values().stream().mapToLong(count -> count).sum());
      assertEquals(time(49), bench.core.clock());
    }
  }

  @Test
  void copiesByTheirIdAreFoundAfterRestarts() throws Exception {
    String text = CONFIG.formatted("").replace("time = \"/t\"", "time = \"/t\"\nid = \"/id\"");
    Bench bench = new Bench(text, 0, true);
    for (long offset = 0; offset < 20; offset++) {
      bench.data(0, offset);
      bench.restart();
    }
    assertEquals(5, bench.counts.values().stream().mapToLong(count -> count).sum());
    assertEquals(15, bench.core.ledgers(NOW).get(0).columns().get("duplicate"));
  }

  @Test
  void holesHoldTheClockUntilTheyAreFilled() throws Exception {
    Bench bench = new Bench(1, 0, true);
    bench.data(0, 0);
    bench.data(0, 3);
    String rejected = "{\"from\":1,\"to\":2,\"reason\":\"rejected:tombstone\"}";
    bench.mark(entry(0, rejected, 4, 4, NOW), 1, NOW);
    bench.core.advance(NOW);
    assertEquals(time(0), bench.core.clock());
    bench.restart();
    bench.data(0, 2);
    bench.core.advance(NOW);
    assertEquals(time(3), bench.core.clock());
    assertEquals(List.of("{\"topic\":\"events\",\"partition\":0,\"offset\":1,\"stage\":\"connector\",\"reason\":\"tombstone\","
        + "\"pointer\":null"), bench.letters);
    assertEquals(1, bench.core.ledgers(NOW).get(0).columns().get("rejected"));
    // Nothing was appended for longer than idle_after, so the partition is idle.
    bench.mark(entry(0, "", 4, 4, NOW + 10_000), 1, NOW + 10_000);
    bench.core.advance(NOW + 10_000);
    assertEquals(NOW + 10_000, bench.core.clock());
  }

  @Test
  void clockIsUnknownWhileAPartitionIs() throws Exception {
    Bench bench = new Bench(1, 0, true);
    bench.data(0, 0);
    bench.mark(entry(0, "", 1, 1, NOW), 2, NOW);
    bench.core.advance(NOW);
    assertEquals(Times.MIN, bench.core.clock());
  }

  @Test
  void shardHasNoOtherPartitions() throws Exception {
    Bench bench = new Bench(2, 1, true);
    for (int partition = 0; partition < 4; partition++) {
      bench.data(partition, 0);
    }
    String entries = entry(0, "", 9, 9, NOW) + "," + entry(1, "", 1, 1, NOW) + "," + entry(3, "", 1, 1, NOW);
    bench.mark(entries, 4, NOW);
    bench.core.advance(NOW);
    assertEquals(2, bench.counts.values().stream().mapToLong(count -> count).sum());
    assertEquals(time(0), bench.core.clock());
  }

  @Test
  void acknowledgedHistoryIsRefusedWithoutAState() throws Exception {
    for (boolean mayBeCold : new boolean[] {false, true}) {
      Bench bench = new Bench(1, 0, mayBeCold);
      bench.data(0, 5);
      assertEquals(mayBeCold, bench.core.mayAcknowledge());
      long now = NOW;
      for (; now <= NOW + 38_000; now += 1_000) {
        bench.mark(entry(0, "", 6, 6, now), 1, now);
        long at = now;
        if (!mayBeCold && now == NOW + 35_000) {
          assertThrows(Unreadable.class, () -> bench.core.advance(at));
          break;
        }
        bench.core.advance(now);
      }
      assertEquals(mayBeCold, bench.core.mayAcknowledge());
    }
  }

  @Test
  void historyFromTheStartNeedsNoPermission() throws Exception {
    Bench bench = new Bench(1, 0, false);
    assertFalse(bench.core.mayAcknowledge());
    bench.data(0, 0);
    bench.mark(entry(0, "", 1, 1, NOW), 1, NOW);
    assertTrue(bench.core.mayAcknowledge());
  }

  @Test
  void detailHasWhatIsReconciled() throws Exception {
    Bench bench = new Bench(1, 0, true);
    bench.data(0, 0);
    bench.data(0, 3);
    bench.data(0, 3);
    bench.mark(entry(0, "{\"from\":1,\"to\":3,\"reason\":\"rejected:tombstone\"},{\"from\":6,\"to\":7,\"reason\":\"lost\"}",
        7, 7, NOW), 1, NOW);
    bench.core.data(Map.of(), "no JSON".getBytes(StandardCharsets.UTF_8), NOW, NOW);
    bench.restart();
    String expected = "{\"panes\":0,\"dead_letters\":2,\"accounted\":6,\"partitions\":[{\"topic\":\"events\",\"incarnation\":\""
        + TOPIC + "\",\"partition\":0,\"accounted\":[[0,4],[6,7]],\"lost\":[[6,7]]}]}";
    Ledger ledger = bench.core.ledgers(NOW).get(0);
    assertEquals(expected, ledger.detail());
    Ledger sum = ledger.plus(Ledger.fired(0, 2)).plus(Ledger.known(0, 1, 0, 0));
    assertEquals(expected.replace("\"panes\":0", "\"panes\":2"), sum.detail());
    String both = ledger.plus(ledger).detail();
    assertTrue(both.startsWith("{\"panes\":0,\"dead_letters\":4,\"accounted\":12,"), both);
    assertTrue(both.contains("[[6,7]]},{\"topic\""), both);
  }

  @Test
  void outcomesOfAnAddedFlowAddUpToTheOffsetsOfTheOthers() throws Exception {
    Bench bench = new Bench(1, 0, true);
    for (long offset = 0; offset < 4; offset++) {
      bench.data(0, offset);
    }
    bench.core.pass();
    ByteArrayOutputStream saved = new ByteArrayOutputStream();
    bench.core.write(new DataOutputStream(saved));
    String flow = CONFIG.substring(CONFIG.indexOf("[[flows]]"));
    Bench more = new Bench(CONFIG.formatted("") + flow.replace("\"f\"", "\"g\""), 0, true);
    more.core.read(new DataInputStream(new ByteArrayInputStream(saved.toByteArray())));
    more.data(0, 4);
    List<Ledger> ledgers = more.core.ledgers(NOW);
    assertEquals(5, ledgers.get(0).columns().get("counted"));
    assertEquals(1, ledgers.get(1).columns().get("counted"));
    assertEquals(4, ledgers.get(1).columns().get("absent"));
  }

  @Test
  void newerFormatsAreNotRead() throws Exception {
    Bench bench = new Bench(1, 0, true);
    Map<String, String> newer = attributes(0, Map.of("aqueduct.format", "pack-2"));
    assertThrows(Unreadable.class, () -> bench.core.data(newer, new byte[0], NOW, NOW));
    byte[] mark = "{\"version\":9}".getBytes(StandardCharsets.UTF_8);
    assertThrows(Unreadable.class, () -> bench.core.mark(mark, NOW, NOW));
    bench.core.mark("{}".getBytes(StandardCharsets.UTF_8), NOW, NOW);
    bench.core.mark(new byte[] {1}, NOW, NOW);
    assertEquals(0, bench.core.marks);
  }

  @Test
  void damagedPackRejectsItsOffsetsByName() throws Exception {
    Bench bench = new Bench(1, 0, true);
    Map<String, String> pack = attributes(0, Map.of("aqueduct.format", "pack-1", "aqueduct.offsets", "0,2,1,1"));
    bench.core.data(pack, new byte[] {1, 2, 3}, NOW, NOW);
    bench.core.data(pack, new byte[] {1, 2, 3}, NOW, NOW);
    bench.core.pass();
    assertEquals(3, bench.letters.size());
    assertEquals(3, bench.core.ledgers(NOW).get(0).columns().get("rejected"));
    assertTrue(bench.letters.get(2).contains("\"offset\":3,\"stage\":\"processor\",\"reason\":\"damaged-pack\""));
  }

  @Test
  void recordsOfAPackAreRead() throws Exception {
    // Two records, no names; six columns, of which flags, timestamps and sizes are used.
    ByteArrayOutputStream contents = new ByteArrayOutputStream();
    byte[] event = "{\"t\":1789999940000,\"p\":\"a\"}".getBytes(StandardCharsets.UTF_8);
    contents.write(new byte[] {2, 0, 2, 1, 0, 0, 0, 2, 1, 0, 14, (byte) event.length, (byte) event.length});
    contents.write(event);
    contents.write(event);
    Bench bench = new Bench(1, 0, true);
    Map<String, String> pack = attributes(0, Map.of("aqueduct.format", "pack-1", "aqueduct.offsets", "7,2"));
    bench.core.data(pack, Zstd.compress(contents.toByteArray()), NOW, NOW);
    bench.core.pass();
    // The timestamp of the first, 7 ms after the epoch, is so far behind its event that this is in the future.
    assertEquals(Map.of(NOW - 60_000, 1L), bench.counts);
    assertEquals(1, bench.letters.size());
  }

  /** Two flows, of which only the first can use events without {@code q}. */
  private static Bench redriven() throws Exception {
    String second = "[[flows]]\nname = \"g\"\nby = { page = \"/q\" }\nwindow = { size = \"10s\" }\nmeasures.n = { count = {} }\n";
    return new Bench(CONFIG.formatted("").replace("time = \"/t\"", "time = \"/t\"\nid = \"/id\"") + second, 0, true);
  }

  private static String event(String more) {
    return "{\"t\":" + (NOW - 1_000) + ",\"p\":\"a\"," + more + "}";
  }

  @Test
  void redrivenRecordCountsOnceInTheFlowsThatRejectedIt() throws Exception {
    Bench bench = redriven();
    // The array cannot be a column, so that only the second flow rejects it.
    bench.send(0, event("\"q\":[],\"id\":1"), 0);
    bench.send(1, event("\"q\":\"b\",\"id\":2"), 0);
    bench.send(2, "no JSON", 0);
    assertEquals(List.of(1L, 2L), bench.outcomes("rejected"));
    bench.restart();
    String good = event("\"q\":\"b\",\"id\":1");
    // Still rejected, with a dead letter of its own; a copy of the message adds none.
    for (int copy = 0; copy < 2; copy++) {
      bench.send(0, event("\"q\":{},\"id\":1"), 1);
    }
    assertEquals(3, bench.letters.size());
    // The first redrive is over: a late copy of it changes nothing, whatever it contains.
    bench.send(0, good, 1);
    assertEquals(List.of(1L, 2L), bench.outcomes("rejected"));
    for (long redrive : new long[] {2, 2, 3}) {
      bench.send(0, good, redrive);
      bench.restart();
    }
    // Its ID is its own, as the first flow took the record.
    assertEquals(List.of(2L, 2L), bench.outcomes("counted"));
    assertEquals(List.of(1L, 1L), bench.outcomes("rejected"));
    // The ID of the other is known: the producer wrote a corrected copy.
    bench.send(2, good, 3);
    assertEquals(List.of(1L, 1L), bench.outcomes("duplicate"));
    assertEquals(List.of(0L, 0L), bench.outcomes("rejected"));
    bench.mark(entry(0, "", 3, 3, NOW), 1, NOW);
    bench.core.advance(NOW);
    assertEquals(NOW - 1_000, bench.core.clock());
  }

  @Test
  void whatWasNeverRejectedIsNotCountedAgain() throws Exception {
    Bench bench = redriven();
    bench.mark(entry(0, "{\"from\":3,\"to\":5,\"reason\":\"rejected:tombstone\"}", 5, 5, NOW), 1, NOW);
    bench.send(5, event("\"q\":\"b\""), 0);
    for (long offset : new long[] {3, 5, 3}) {
      bench.send(offset, event("\"q\":\"b\""), 1);
    }
    assertEquals(List.of(2L, 2L), bench.outcomes("counted"));
    assertEquals(List.of(1L, 1L), bench.outcomes("rejected"));
  }
}
