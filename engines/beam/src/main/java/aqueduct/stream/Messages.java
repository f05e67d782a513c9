package aqueduct.stream;

import aqueduct.frontier.Mark.Partition;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Reads messages of the data topic: the position of each record, and its event. */
final class Messages {
  /**
   * A record: {@code partition} is null if another producer published the message, and the event is null if a damaged
   * pack should hold it. {@code redrive} is the number of the redrive that published it, 0 if none did.
   */
  record Item(Partition partition, long offset, Long kafkaTime, byte[] event, long redrive) {}

  private static final String REDRIVEN = "redrive-1";
  private static final String PACK = "pack-1";

  private Messages() {}

  /** The records of a message. One that this program cannot read must not be acknowledged. */
  static List<Item> read(Map<String, String> attributes, byte[] data) throws Unreadable {
    String format = attributes.get("aqueduct.format");
    Partition partition = partition(attributes);
    if (PACK.equals(format)) {
      return pack(partition, attributes.get("aqueduct.offsets"), data);
    }
    if (format != null && !format.equals(REDRIVEN)) {
      throw new Unreadable("a message has the format " + format + ", which this program does not know; upgrade it before "
          + "the connector");
    }
    // Without a number, it is a record as any other.
    Long redrive = format == null ? null : number(attributes.get("aqueduct.redrive"));
    Long offset = number(attributes.get("kafka.offset"));
    boolean isPositioned = partition != null && offset != null && offset >= 0;
    return List.of(new Item(isPositioned ? partition : null, isPositioned ? offset : 0,
        kafkaTime(number(attributes.get("kafka.timestamp"))), data, redrive == null ? 0 : redrive));
  }

  private static List<Item> pack(Partition partition, String named, byte[] data) {
    List<Item> items = new ArrayList<>();
    long[] offsets;
    try {
      offsets = partition == null ? new long[0] : Pack.offsets(named);
    } catch (Pack.Damaged damaged) {
      offsets = new long[0];
    }
    if (offsets.length == 0) {
      return List.of(new Item(null, 0, null, null, 0));
    }
    try {
      for (Pack.Packed one : Pack.records(offsets, data)) {
        items.add(new Item(partition, one.offset(), kafkaTime(one.timestamp()), one.event(), 0));
      }
    } catch (Pack.Damaged damaged) {
      for (long offset : offsets) {
        items.add(new Item(partition, offset, null, null, 0));
      }
    }
    return items;
  }

  private static Partition partition(Map<String, String> attributes) {
    String topic = attributes.get("kafka.topic");
    String incarnation = attributes.get("aqueduct.incarnation");
    Long number = number(attributes.get("kafka.partition"));
    boolean isNamed = topic != null && incarnation != null && number != null && number == number.intValue();
    return isNamed ? new Partition(topic, incarnation, number.intValue()) : null;
  }

  /** A timestamp of Kafka; one that is not positive counts as absent. */
  private static Long kafkaTime(Long millis) {
    return millis != null && millis > 0 && millis <= LAST ? millis : null;
  }

  private static final long LAST = 253_402_207_200_999L;

  private static Long number(String text) {
    try {
      return text == null ? null : Long.valueOf(text);
    } catch (NumberFormatException error) {
      return null;
    }
  }
}
