package aqueduct.frontier;

import aqueduct.event.Times;

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

  static Clocks all(long time) {
    return new Clocks(time, time, time);
  }

  Clocks max(Clocks other) {
    return new Clocks(
        Math.max(event, other.event), Math.max(kafka, other.kafka), Math.max(published, other.published));
  }

  Clocks min(Clocks other) {
    return new Clocks(
        Math.min(event, other.event), Math.min(kafka, other.kafka), Math.min(published, other.published));
  }
}
