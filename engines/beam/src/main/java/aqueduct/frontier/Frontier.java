package aqueduct.frontier;

import aqueduct.count.Codec;
import aqueduct.count.Rows;
import aqueduct.event.Times;
import aqueduct.frontier.Mark.Absent;
import aqueduct.frontier.Mark.OfPartition;
import aqueduct.frontier.Mark.OfTopic;
import aqueduct.frontier.Mark.Partition;
import aqueduct.frontier.Ranges.Range;
import aqueduct.frontier.Track.Absence;
import aqueduct.frontier.Track.Arrival;
import aqueduct.frontier.Track.LogEnd;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Exact de-duplication by position, and a clock that tells an idle partition from an unknown one: the rules of the
 * processor's frontier. It has no clock of its own and does no I/O.
 */
public final class Frontier {
  /** The longest message retention of a Pub/Sub subscription. */
  private static final long LONGEST_RETENTION = 31L * 24 * 3_600_000;
  /** The length of a topic ID, behind which an incarnation has the number of elections that cut the log. */
  private static final int TOPIC_ID = 22;

  /** What the configuration sets, in milliseconds. */
  public record Limits(long idleAfter, long holeLimit, long coldStart) {}

  /** The partitions of one of several readers: those whose number leaves {@code part} when divided by {@code parts}. */
  public record Share(int part, int parts) {
    public static final Share ALL = new Share(0, 1);

    public boolean has(int partition) {
      return Math.floorMod(partition, parts) == part;
    }
  }

  /** Offsets without an event that are newly accounted for. */
  public record Covered(Partition partition, Range offsets, String reason, String pointer) {}

  /** A hole that was abandoned; at the start of a log that a lost state had counted, nothing is missing. */
  public record Abandoned(Partition partition, Range offsets, boolean beforeStart) {}

  private record Topic(String incarnation, int partitions, long askedAt, long namedAt) {}

  private record Retired(Track track, long at) {}

  private record Watch(Partition partition, Range hole) {}

  private final TreeMap<Partition, Track> tracks = new TreeMap<>();
  private final TreeMap<String, Topic> topics = new TreeMap<>();
  private final TreeMap<Partition, Retired> retired = new TreeMap<>();
  private Clocks clocks = Clocks.NONE;
  /** Whether it began without a state and the start of some partition is still unknown. */
  private boolean cold = true;

  private long forgotten;
  private final Share share;
  private Map<Watch, Long> watches = new HashMap<>();
  private final Map<Partition, Long> superseded = new HashMap<>();

  public Frontier() {
    this(Share.ALL);
  }

  /** A frontier of some partitions. What a mark reports about others is left to other readers. */
  public Frontier(Share share) {
    this.share = share;
  }

  /** Accounts for a data message. */
  public Arrival data(Partition partition, long offset, Clocks of) {
    return track(partition).data(offset, of);
  }

  private Track track(Partition partition) {
    Track track = tracks.get(partition);
    if (track != null) {
      return track;
    }
    Retired old = retired.get(partition);
    return old != null ? old.track : tracks.computeIfAbsent(partition, of -> new Track());
  }

  /** Applies a mark. The time of a leader's answer is capped at the publish time, whatever the connector's clock shows. */
  public List<Covered> mark(Mark mark, long published, long now) {
    List<Covered> covered = new ArrayList<>();
    for (OfTopic topic : mark.topics()) {
      long askedAt = Math.min(topic.askedAt(), published);
      Topic known = topics.get(topic.topic());
      if (known == null || known.askedAt <= askedAt) {
        topics.put(topic.topic(), new Topic(topic.incarnation(), topic.partitions(), askedAt, now));
      }
    }
    for (OfPartition entry : mark.partitions()) {
      if (!share.has(entry.partition().number())) {
        continue;
      }
      Track track = track(entry.partition());
      LogEnd end = entry.end();
      LogEnd capped = end == null ? null : new LogEnd(end.offset(), Math.min(end.askedAt(), published));
      track.heard(entry.position(), entry.committed(), capped);
      for (Absent absent : entry.absent()) {
        for (Range range : track.absent(absent.range(), absent.absence())) {
          covered.add(new Covered(entry.partition(), range, absent.reason(), absent.pointer()));
        }
      }
    }
    return covered;
  }

  /**
   * Abandons holes that are older than the limit. Their clocks run only while the subscriptions are read up to the present:
   * in a backlog a hole may be a message that arrives later.
   */
  public List<Abandoned> tick(long now, boolean caughtUp, Limits limits) {
    retire(now, caughtUp, limits);
    List<Abandoned> abandoned = new ArrayList<>();
    if (!caughtUp) {
      watches.clear();
      return abandoned;
    }
    Map<Watch, Long> seen = new HashMap<>();
    tracks.forEach((partition, track) -> {
      Range leading = cold ? track.leadingHole() : null;
      List<Range> holes = new ArrayList<>(track.holes());
      if (leading != null) {
        holes.add(0, leading);
      }
      for (Range hole : holes) {
        boolean isStart = leading != null && hole.start() == leading.start();
        Watch watch = new Watch(partition, hole);
        long since = watches.getOrDefault(watch, now);
        if (now < Times.plus(since, isStart ? limits.coldStart : limits.holeLimit)) {
          seen.put(watch, since);
          continue;
        }
        for (Range range : track.absent(hole, isStart ? Absence.BEFORE : Absence.LOST)) {
          abandoned.add(new Abandoned(partition, range, isStart));
        }
      }
    });
    watches = seen;
    cold &= !hasBegun(limits);
    return abandoned;
  }

  /**
   * Retires older incarnations that are complete or have waited for the limit, and topics that no mark names any more while
   * marks name others. What has left stays away.
   */
  private void retire(long now, boolean caughtUp, Limits limits) {
    long newest = topics.values().stream().mapToLong(Topic::namedAt).max().orElse(Times.MIN);
    topics.values().removeIf(topic -> newest >= Times.plus(topic.namedAt, limits.holeLimit));
    takeBackCurrent();
    List<Partition> older = older(new ArrayList<>(tracks.keySet()));
    superseded.keySet().retainAll(older);
    for (Partition partition : older) {
      long since = superseded.computeIfAbsent(partition, of -> now);
      Track track = tracks.get(partition);
      boolean isComplete = track.prefix >= track.heardTo;
      if (isComplete && now > since || caughtUp && now >= Times.plus(since, limits.holeLimit)) {
        superseded.remove(partition);
        retired.put(partition, new Retired(tracks.remove(partition), now));
      } else if (!caughtUp) {
        // In a backlog, its missing messages may only be late.
        superseded.put(partition, now);
      }
    }
    retired.values().removeIf(old -> {
      boolean isOver = now >= Times.plus(old.at, LONGEST_RETENTION);
      forgotten += isOver ? old.track.accounted() : 0;
      return isOver;
    });
  }

  /** A topic that is named again becomes current again, and so does an older generation when the newest one is gone. */
  private void takeBackCurrent() {
    List<Partition> named = retired.keySet().stream().filter(this::isOfNamed).toList();
    if (named.isEmpty()) {
      return;
    }
    List<Partition> all = new ArrayList<>(tracks.keySet());
    all.addAll(named);
    List<Partition> older = older(all);
    for (Partition partition : named) {
      if (!older.contains(partition)) {
        tracks.put(partition, retired.remove(partition).track);
      }
    }
  }

  /** The partitions of older incarnations, and of topics that are no longer named. */
  private List<Partition> older(List<Partition> partitions) {
    if (topics.isEmpty()) {
      return List.of();
    }
    Map<String, Long> newest = newest(partitions);
    return partitions.stream().filter(partition -> !isOfNamed(partition)
        || generation(partition.incarnation()) != newest.get(place(partition.topic(), partition.number()))).toList();
  }

  private Map<String, Long> newest(Iterable<Partition> partitions) {
    Map<String, Long> newest = new HashMap<>();
    for (Partition partition : partitions) {
      if (isOfNamed(partition)) {
        newest.merge(place(partition.topic(), partition.number()), generation(partition.incarnation()), Math::max);
      }
    }
    return newest;
  }

  private static String place(String topic, int number) {
    return topic + "/" + number;
  }

  private boolean isOfNamed(Partition partition) {
    Topic topic = topics.get(partition.topic());
    return topic != null && family(topic.incarnation).equals(family(partition.incarnation()));
  }

  private static boolean hasGeneration(String incarnation) {
    return incarnation.length() > TOPIC_ID && incarnation.charAt(TOPIC_ID) == '+';
  }

  private static String family(String incarnation) {
    return hasGeneration(incarnation) ? incarnation.substring(0, TOPIC_ID) : incarnation;
  }

  private static long generation(String incarnation) {
    String count = hasGeneration(incarnation) ? incarnation.substring(TOPIC_ID + 1) : "0";
    return count.matches("\\d{1,9}") ? Long.parseLong(count) : 0;
  }

  /** Moves the clocks as far as every partition allows. They never move back. */
  public Clocks advance(Limits limits) {
    Clocks bound = bound(limits);
    clocks = bound == null ? clocks : clocks.max(bound);
    return clocks;
  }

  /** The minimum over all partitions and topics; null while a named partition has not been heard of. */
  private Clocks bound(Limits limits) {
    if (topics.isEmpty()) {
      return null;
    }
    Clocks least = Clocks.all(Times.MAX);
    Map<String, Long> newest = newest(tracks.keySet());
    for (Map.Entry<String, Topic> topic : topics.entrySet()) {
      least = least.min(Clocks.all(topic.getValue().askedAt));
      for (int number = 0; number < topic.getValue().partitions; number++) {
        if (share.has(number) && !newest.containsKey(place(topic.getKey(), number))) {
          return null;
        }
      }
    }
    for (Track track : tracks.values()) {
      least = least.min(track.clocks(limits.idleAfter));
    }
    return least;
  }

  /** Whether it began without a state and does not know yet where some partition begins. */
  public boolean isCold() {
    return cold;
  }

  /** Whether every named partition has been heard of, and its start is known. */
  public boolean hasBegun(Limits limits) {
    return bound(limits) != null && tracks.values().stream().allMatch(track -> track.prefix > 0 || track.heardTo == 0);
  }

  /** Whether it has not forgotten a partition, of which it then knows no offset. */
  public boolean knows(Partition partition) {
    return tracks.containsKey(partition) || retired.containsKey(partition);
  }

  /** Whether any mark has named a topic. */
  public boolean isMarked() {
    return !topics.isEmpty();
  }

  /** Saves everything but the clocks of holes, which begin again. */
  public void write(DataOutput out) throws IOException {
    write(out, tracks);
    Codec.writeLong(out, topics.size());
    for (Map.Entry<String, Topic> topic : topics.entrySet()) {
      Codec.writeText(out, topic.getKey());
      Codec.writeText(out, topic.getValue().incarnation);
      Codec.writeLong(out, topic.getValue().partitions);
      Codec.writeLong(out, topic.getValue().askedAt);
      Codec.writeLong(out, topic.getValue().namedAt);
    }
    TreeMap<Partition, Track> old = new TreeMap<>();
    retired.forEach((partition, of) -> old.put(partition, of.track));
    write(out, old);
    for (Retired of : retired.values()) {
      Codec.writeLong(out, of.at);
    }
    clocks.write(out);
    out.writeBoolean(cold);
    Codec.writeLong(out, forgotten);
  }

  private static void write(DataOutput out, TreeMap<Partition, Track> tracks) throws IOException {
    Codec.writeLong(out, tracks.size());
    for (Map.Entry<Partition, Track> track : tracks.entrySet()) {
      Codec.writeText(out, track.getKey().topic());
      Codec.writeText(out, track.getKey().incarnation());
      Codec.writeLong(out, track.getKey().number());
      track.getValue().write(out);
    }
  }

  /** Restores what was saved into a new frontier. */
  public void read(DataInput in) throws IOException {
    readTracks(in, tracks);
    for (long left = Codec.readLong(in); left > 0; left--) {
      topics.put(Codec.readText(in), new Topic(
          Codec.readText(in), (int) Codec.readLong(in), Codec.readLong(in), Codec.readLong(in)));
    }
    TreeMap<Partition, Track> old = new TreeMap<>();
    readTracks(in, old);
    for (Map.Entry<Partition, Track> track : old.entrySet()) {
      retired.put(track.getKey(), new Retired(track.getValue(), Codec.readLong(in)));
    }
    clocks = Clocks.read(in);
    cold = in.readBoolean();
    forgotten = Codec.readLong(in);
  }

  private static void readTracks(DataInput in, TreeMap<Partition, Track> tracks) throws IOException {
    for (long left = Codec.readLong(in); left > 0; left--) {
      Partition partition = new Partition(Codec.readText(in), Codec.readText(in), (int) Codec.readLong(in));
      tracks.put(partition, Track.read(in));
    }
  }

  /** How many offsets below committed ones have not arrived. */
  public long missing() {
    long sum = 0;
    for (Track track : tracks.values()) {
      for (Range hole : track.holes()) {
        sum += hole.end() - hole.start();
      }
    }
    return sum;
  }

  /** The partitions that are not retired, as JSON objects with commas between them. */
  public String partitions() {
    List<String> all = new ArrayList<>();
    tracks.forEach((partition, track) -> all.add("{\"topic\":" + Rows.quoted(partition.topic()) + ",\"incarnation\":"
        + Rows.quoted(partition.incarnation()) + ",\"partition\":" + partition.number() + "," + track.json() + "}"));
    return String.join(",", all);
  }

  /** How many offsets are accounted for. */
  public long accounted() {
    long sum = forgotten;
    for (Track track : tracks.values()) {
      sum += track.accounted();
    }
    for (Retired old : retired.values()) {
      sum += old.track.accounted();
    }
    return sum;
  }
}
