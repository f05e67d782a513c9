package aqueduct.frontier;

import aqueduct.count.Codec;
import aqueduct.event.Times;
import aqueduct.frontier.Ranges.Range;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * One partition of one incarnation: which offsets are accounted for, the prefix without a gap, and its clocks. Each covered
 * interval beyond the prefix keeps one maximum, so memory is proportional to the number of gaps. Intervals merge by maximum,
 * so a clock never runs ahead.
 */
public final class Track {
  /** What a data message is: new, seen before, or the data of an offset that counted as absent. */
  public enum Arrival { NEW, SEEN, RETAKEN_LOST, RETAKEN_BEFORE }

  /** Why offsets have no data: there is no event, retention took it or it was abandoned, or it is before the start. */
  enum Absence { FINAL, LOST, BEFORE }

  /** The end of a log as its leader reported it, and when it was asked. */
  record LogEnd(long offset, long askedAt) {}

  record Island(long end, Clocks clocks, long dataEnd) {
    Island merge(Island other, long furthest) {
      return new Island(furthest, clocks.max(other.clocks), Math.max(dataEnd, other.dataEnd));
    }
  }

  private static final int MOST_RANGES = 20;

  /** Every offset below it is accounted for. */
  long prefix;

  /** The clocks over the data of the prefix, and one past the highest data offset in it. */
  Clocks clocks = Clocks.NONE;

  long dataEnd;
  final TreeMap<Long, Island> islands = new TreeMap<>();
  final Ranges lost = new Ranges();
  final Ranges before = new Ranges();
  /** The highest offset that any message has mentioned. */
  long heardTo;

  /** The committed offset of the latest mark, and the latest answer of the leader; null if there is none. */
  Long committed;

  LogEnd end;
  /** The earliest answer that already covered {@code dataEnd}: no event was appended after it. */
  Long quietSince;

  Arrival peek(long offset) {
    if (lost.contains(offset)) {
      return Arrival.RETAKEN_LOST;
    }
    if (before.contains(offset)) {
      return Arrival.RETAKEN_BEFORE;
    }
    return covers(offset) ? Arrival.SEEN : Arrival.NEW;
  }

  Arrival data(long offset, Clocks of) {
    Arrival arrival = peek(offset);
    if (arrival == Arrival.NEW) {
      cover(new Range(offset, offset + 1), of, offset + 1);
    } else if (arrival != Arrival.SEEN) {
      lost.remove(offset);
      before.remove(offset);
      raise(offset, of);
    }
    return arrival;
  }

  /** Accounts for a range without events; the offsets in it that were new. */
  List<Range> absent(Range range, Absence absence) {
    List<Range> gaps = gaps(range.start(), range.end());
    for (Range gap : gaps) {
      if (absence != Absence.FINAL) {
        (absence == Absence.LOST ? lost : before).insert(gap);
      }
      cover(gap, Clocks.NONE, 0);
    }
    return gaps;
  }

  /** What a mark reports besides its ranges. */
  void heard(long position, Long commit, LogEnd fact) {
    heardTo = Math.max(heardTo, position);
    if (commit != null && (committed == null || commit > committed)) {
      committed = commit;
    }
    if (fact == null) {
      return;
    }
    if (end == null || end.askedAt < fact.askedAt) {
      end = fact;
    }
    if (fact.offset >= dataEnd && (quietSince == null || fact.askedAt < quietSince)) {
      quietSince = fact.askedAt;
    }
  }

  /** The clocks of the prefix or, of an idle partition, the time at which its leader was asked. */
  Clocks clocks(long idleAfter) {
    // A record that was read and has not arrived keeps the partition awake: after a topic is recreated, a question about
    // the old log is answered with the end of the new one.
    boolean isIdle = end != null && quietSince != null && prefix >= end.offset && prefix >= heardTo
        && end.askedAt >= Times.plus(quietSince, idleAfter);
    return isIdle ? clocks.max(Clocks.all(end.askedAt)) : clocks;
  }

  /** What is below the committed offset and not accounted for: published messages that have not arrived. */
  List<Range> holes() {
    return committed == null ? List.of() : gaps(prefix, Math.max(committed, prefix));
  }

  /** Without a state: the part of the log below everything that arrived, once it is known to be committed; or null. */
  Range leadingHole() {
    if (committed == null || prefix > 0) {
      return null;
    }
    long lowest = islands.isEmpty() ? committed : Math.min(islands.firstKey(), committed);
    return lowest > 0 ? new Range(0, lowest) : null;
  }

  /** What is accounted for and what of it is lost, as JSON: the first ranges, because there may be any number. */
  String json() {
    List<Range> covered = new ArrayList<>();
    if (prefix > 0) {
      covered.add(new Range(0, prefix));
    }
    islands.entrySet().stream().limit(MOST_RANGES).forEach(
        island -> covered.add(new Range(island.getKey(), island.getValue().end)));
    return "\"accounted\":" + json(covered.stream()) + ",\"lost\":" + json(lost.list().stream().limit(MOST_RANGES));
  }

  private static String json(Stream<Range> ranges) {
    return ranges.map(range -> "[" + range.start() + "," + range.end() + "]").collect(Collectors.joining(",", "[", "]"));
  }

  long accounted() {
    long sum = prefix;
    for (Map.Entry<Long, Island> island : islands.entrySet()) {
      sum += island.getValue().end - island.getKey();
    }
    return sum;
  }

  void write(DataOutput out) throws IOException {
    Codec.writeLong(out, prefix);
    clocks.write(out);
    Codec.writeLong(out, dataEnd);
    Codec.writeLong(out, islands.size());
    for (Map.Entry<Long, Island> island : islands.entrySet()) {
      Codec.writeLong(out, island.getKey());
      Codec.writeLong(out, island.getValue().end);
      island.getValue().clocks.write(out);
      Codec.writeLong(out, island.getValue().dataEnd);
    }
    lost.write(out);
    before.write(out);
    Codec.writeLong(out, heardTo);
    Codec.writeOptional(out, committed);
    out.writeBoolean(end != null);
    if (end != null) {
      Codec.writeLong(out, end.offset);
      Codec.writeLong(out, end.askedAt);
    }
    Codec.writeOptional(out, quietSince);
  }

  static Track read(DataInput in) throws IOException {
    Track track = new Track();
    track.prefix = Codec.readLong(in);
    track.clocks = Clocks.read(in);
    track.dataEnd = Codec.readLong(in);
    for (long left = Codec.readLong(in); left > 0; left--) {
      track.islands.put(Codec.readLong(in), new Island(Codec.readLong(in), Clocks.read(in), Codec.readLong(in)));
    }
    track.lost.read(in);
    track.before.read(in);
    track.heardTo = Codec.readLong(in);
    track.committed = Codec.readOptional(in);
    track.end = in.readBoolean() ? new LogEnd(Codec.readLong(in), Codec.readLong(in)) : null;
    track.quietSince = Codec.readOptional(in);
    return track;
  }

  private boolean covers(long offset) {
    Map.Entry<Long, Island> island = islands.floorEntry(offset);
    return offset < prefix || island != null && offset < island.getValue().end;
  }

  private List<Range> gaps(long from, long to) {
    List<Range> gaps = new ArrayList<>();
    long at = Math.max(from, prefix);
    Map.Entry<Long, Island> first = islands.floorEntry(at);
    at = first == null ? at : Math.max(at, first.getValue().end);
    if (at < to) {
      for (Map.Entry<Long, Island> island : islands.subMap(at, to).entrySet()) {
        if (island.getKey() > at) {
          gaps.add(new Range(at, island.getKey()));
        }
        at = island.getValue().end;
      }
    }
    if (at < to) {
      gaps.add(new Range(at, to));
    }
    return gaps;
  }

  /** Covers a range of which nothing is covered yet, and extends the prefix over intervals that now touch it. */
  private void cover(Range range, Clocks of, long data) {
    heardTo = Math.max(heardTo, range.end());
    Island island = new Island(range.end(), of, data);
    Island next = islands.remove(range.end());
    island = next == null ? island : island.merge(next, next.end);
    if (range.start() == prefix) {
      prefix = island.end;
      clocks = clocks.max(island.clocks);
      if (island.dataEnd > dataEnd) {
        dataEnd = island.dataEnd;
        quietSince = end != null && end.offset >= dataEnd ? Long.valueOf(end.askedAt) : null;
      }
      return;
    }
    Map.Entry<Long, Island> previous = islands.lowerEntry(range.start());
    boolean touches = previous != null && previous.getValue().end == range.start();
    islands.put(touches ? previous.getKey() : Long.valueOf(range.start()),
        touches ? island.merge(previous.getValue(), island.end) : island);
  }

  private void raise(long offset, Clocks of) {
    if (offset < prefix) {
      clocks = clocks.max(of);
    } else {
      islands.computeIfPresent(islands.floorKey(offset), (start, island) -> new Island(
          island.end, island.clocks.max(of), Math.max(island.dataEnd, offset + 1)));
    }
  }
}
