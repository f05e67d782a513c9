package aqueduct.frontier;

import aqueduct.count.Codec;
import aqueduct.event.Times;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;

/**
 * The highest times of a set of events: of min(event time, Kafka timestamp), so that an event in the future cannot move it
 * too far, and of the Kafka timestamps and publish times.
 */
public record Clocks(long event, long kafka, long published) {
  public static final Clocks NONE = all(Times.MIN);

  /** The clocks of one event; its time or its Kafka timestamp is null if there is none. Not for a refused event. */
  public static Clocks of(Long event, Long kafka, long published) {
    long bounded = event == null ? Times.MIN : kafka == null ? event : Math.min(event, kafka);
    return new Clocks(bounded, kafka == null ? Times.MIN : kafka, published);
  }

  public void write(DataOutput out) throws IOException {
    Codec.writeLong(out, event);
    Codec.writeLong(out, kafka);
    Codec.writeLong(out, published);
  }

  public static Clocks read(DataInput in) throws IOException {
    return new Clocks(Codec.readLong(in), Codec.readLong(in), Codec.readLong(in));
  }

  static Clocks all(long time) {
    return new Clocks(time, time, time);
  }

  public Clocks max(Clocks other) {
    return new Clocks(
        Math.max(event, other.event), Math.max(kafka, other.kafka), Math.max(published, other.published));
  }

  public Clocks min(Clocks other) {
    return new Clocks(
        Math.min(event, other.event), Math.min(kafka, other.kafka), Math.min(published, other.published));
  }
}
