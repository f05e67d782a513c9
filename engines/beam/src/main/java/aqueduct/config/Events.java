package aqueduct.config;

import java.util.HashMap;
import java.util.Map;

/** The [events] section: where events have their time and ID. Lengths are milliseconds. */
public record Events(String time, long future, String id, long idWithin, Map<String, Own> topics) {
  /** What differs for the events of one topic; null where it does not. */
  public record Own(String time, String id) {}

  static Events read(Section root, Problems problems) {
    Section events = root.table("events", "a table");
    if (events == null) {
      return null;
    }
    String[] known = {"time", "future", "id", "id_within", "topics"};
    events.known(known);
    boolean hasTime = events.requires("time", known);
    String time = hasTime ? events.pointer("time") : null;
    Long future = events.millis("future");
    String id = events.pointer("id");
    Long within = events.millis("id_within");
    Map<String, Own> topics = new HashMap<>();
    Section own = events.table("topics", "a table");
    if (own != null) {
      for (String topic : own.keys()) {
        Section of = own.table(topic, "a table");
        if (of != null) {
          of.known("time", "id");
          topics.put(topic, new Own(of.pointer("time"), of.pointer("id")));
        }
      }
    }
    boolean hasId = id != null || topics.values().stream().anyMatch(topic -> topic.id != null);
    if (problems.isEmpty() && within != null && !hasId) {
      events.error("id_within", "has no effect, because events have no ID; add id, or remove it");
    }
    return new Events(time, future == null ? 3_600_000 : future, id, within == null ? 600_000 : within, topics);
  }

  public String timeOf(String topic) {
    Own own = topics.get(topic);
    return own != null && own.time != null ? own.time : time;
  }

  /** The pointer to the ID of a topic's events; null if they have none. */
  public String idOf(String topic) {
    Own own = topics.get(topic);
    return own != null && own.id != null ? own.id : id;
  }

  /** Whether an ID is compared within its topic only. */
  public boolean hasOwnId(String topic) {
    Own own = topics.get(topic);
    return own != null && own.id != null;
  }
}
