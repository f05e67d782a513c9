package aqueduct.frontier;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import aqueduct.frontier.Mark.Partition;
import aqueduct.frontier.Ranges.Range;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The cases that a Rust test writes from the processor's frontier. */
class FrontierTest {
  private static final Path CASES = Path.of("../../crates/processor/tests/frontier_cases.json");
  private static final Map<Track.Arrival, String> ARRIVALS = Map.of(Track.Arrival.NEW, "New", Track.Arrival.SEEN, "Seen",
      Track.Arrival.RETAKEN_LOST, "Retaken(Lost)", Track.Arrival.RETAKEN_BEFORE, "Retaken(Before)");

  @Test
  void outcomesAreThoseOfTheProcessor() throws IOException, Mark.Unreadable {
    JsonNode file = new ObjectMapper().readTree(CASES.toFile());
    Frontier.Limits limits = new Frontier.Limits(
        file.get("idle_after").asLong(), file.get("hole_limit").asLong(), file.get("cold_start").asLong());
    int number = 0;
    for (JsonNode steps : file.get("cases")) {
      number++;
      Frontier frontier = new Frontier();
      int at = 0;
      for (JsonNode step : steps) {
        String where = "case " + number + ", step " + at++ + ": " + step;
        check(frontier, step, limits, where);
        Clocks clocks = frontier.advance(limits);
        List<Long> expected = new ArrayList<>();
        step.get("clocks").forEach(clock -> expected.add(clock.asLong()));
        assertEquals(expected, List.of(clocks.event(), clocks.kafka(), clocks.published()), where);
        assertEquals(step.get("accounted").asLong(), frontier.accounted(), where);
        Frontier restored = new Frontier();
        restored.read(new DataInputStream(new ByteArrayInputStream(saved(frontier))));
        assertArrayEquals(saved(frontier), saved(restored), where);
        assertEquals(clocks, restored.advance(limits), where);
      }
    }
    assertEquals(20, number);
  }

  private static byte[] saved(Frontier frontier) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    frontier.write(new DataOutputStream(bytes));
    return bytes.toByteArray();
  }

  private static void check(Frontier frontier, JsonNode step, Frontier.Limits limits, String where)
      throws IOException, Mark.Unreadable {
    List<String> found = new ArrayList<>();
    if (step.has("data")) {
      JsonNode of = step.get("data");
      Partition partition = new Partition(of.get(0).asText(), of.get(1).asText(), of.get(2).asInt());
      JsonNode times = step.get("times");
      Clocks clocks = Clocks.of(time(times.get(0)), time(times.get(1)), times.get(2).asLong());
      assertEquals(step.get("arrival").asText(), ARRIVALS.get(frontier.data(partition, of.get(3).asLong(), clocks)), where);
    } else if (step.has("mark")) {
      Mark mark = Mark.parse(step.get("mark").toString().getBytes(StandardCharsets.UTF_8));
      long now = step.get("now").asLong();
      frontier.mark(mark, now, now).forEach(covered ->
          found.add(text(covered.partition(), covered.offsets()) + " " + covered.reason()));
      assertEquals(texts(step.get("covered")), found, where);
    } else {
      frontier.tick(step.get("tick").asLong(), step.get("caught_up").asBoolean(), limits).forEach(hole ->
          found.add(text(hole.partition(), hole.offsets()) + (hole.beforeStart() ? " before" : " lost")));
      assertEquals(texts(step.get("abandoned")), found, where);
    }
  }

  private static Long time(JsonNode time) {
    return time.isNull() ? null : Long.valueOf(time.asLong());
  }

  private static String text(Partition partition, Range offsets) {
    return partition.topic() + "/" + partition.incarnation() + "/" + partition.number() + " " + offsets.start() + ".."
        + offsets.end();
  }

  private static List<String> texts(JsonNode list) {
    List<String> texts = new ArrayList<>();
    list.forEach(text -> texts.add(text.asText()));
    return texts;
  }

  @Test
  void newerMarksAreNotRead() {
    byte[] mark = "{\"version\":3}".getBytes(StandardCharsets.UTF_8);
    assertThrows(Mark.Unreadable.class, () -> Mark.parse(mark));
  }
}
