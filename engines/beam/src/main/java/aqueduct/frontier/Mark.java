package aqueduct.frontier;

import aqueduct.frontier.Ranges.Range;
import aqueduct.frontier.Track.Absence;
import aqueduct.frontier.Track.LogEnd;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** What one replica of the connector reports about its partitions at one moment. */
public record Mark(List<OfPartition> partitions, List<OfTopic> topics, List<String> outputs) {
  /** The newest version that this program can read. */
  public static final int VERSION = 2;

  /** A partition of one incarnation of its topic. */
  public record Partition(String topic, String incarnation, int number) implements Comparable<Partition> {
    @Override
    public int compareTo(Partition other) {
      int order = topic.compareTo(other.topic);
      order = order != 0 ? order : incarnation.compareTo(other.incarnation);
      return order != 0 ? order : Integer.compare(number, other.number);
    }
  }

  /** Offsets without an event, and the reason that they have in common. */
  public record Absent(Range range, String reason, String pointer) {
    Absence absence() {
      return reason.equals("lost") ? Absence.LOST : reason.equals("before") ? Absence.BEFORE : Absence.FINAL;
    }
  }

  /** {@code committed} and {@code end} are null if they are not known. */
  public record OfPartition(Partition partition, List<Absent> absent, long position, Long committed, LogEnd end) {}

  /** A configured topic, its number of partitions, and when they were counted. */
  public record OfTopic(String topic, String incarnation, int partitions, long askedAt) {}

  /** A mark of a version that this program cannot read: it must not be acknowledged. */
  public static final class Unreadable extends Exception {
    private static final long serialVersionUID = 1;

    Unreadable(String text) {
      super(text);
    }
  }

  private static final ObjectMapper JSON = new ObjectMapper();

  /** Reads the data of a mark's message; null if it is not a mark, which no connector publishes. */
  public static Mark parse(byte[] data) throws Unreadable, IOException {
    try {
      JsonNode mark = JSON.readTree(data);
      return mark.path("version").canConvertToInt() ? of(mark) : null;
    } catch (JsonProcessingException | NullPointerException error) {
      return null;
    }
  }

  private static Mark of(JsonNode mark) throws Unreadable {
    // A newer mark need not have the other fields.
    int version = mark.get("version").asInt();
    if (version > VERSION) {
      throw new Unreadable("a mark has version " + version + ", and this program reads versions up to " + VERSION
          + "; upgrade it before the connector");
    }
    List<OfPartition> partitions = new ArrayList<>();
    for (JsonNode entry : mark.path("partitions")) {
      List<Absent> absent = new ArrayList<>();
      for (JsonNode range : entry.path("ranges")) {
        Range of = new Range(range.get("from").asLong(), range.get("to").asLong());
        absent.add(new Absent(of, range.get("reason").asText(), range.path("pointer").asText(null)));
      }
      JsonNode end = entry.path("end");
      LogEnd known = end.isObject() ? new LogEnd(end.get("offset").asLong(), end.get("asked_at").asLong()) : null;
      Long committed = entry.path("committed").isNumber() ? Long.valueOf(entry.get("committed").asLong()) : null;
      Partition partition = new Partition(
          entry.get("topic").asText(), entry.get("incarnation").asText(), entry.get("partition").asInt());
      partitions.add(new OfPartition(partition, absent, entry.get("position").asLong(), committed, known));
    }
    List<OfTopic> topics = new ArrayList<>();
    for (JsonNode topic : mark.path("topics")) {
      topics.add(new OfTopic(topic.get("topic").asText(), topic.get("incarnation").asText(),
          topic.get("partitions").asInt(), topic.get("asked_at").asLong()));
    }
    List<String> outputs = new ArrayList<>();
    mark.path("outputs").forEach(output -> outputs.add(output.asText()));
    return new Mark(partitions, topics, outputs);
  }
}
