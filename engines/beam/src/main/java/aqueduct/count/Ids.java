package aqueduct.count;

import aqueduct.event.Times;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The IDs of events that some flow took, with all their times, for as long as a window may take a copy. Copies are
 * compared by the time of the event, and forgotten by the time of the windows, which may be another kind.
 */
final class Ids {
  private static final long MINUTE = 60_000;

  private final long within;
  private final long keep;
  /** The times of each ID: of the event, then of the windows. */
  private final Map<String, long[]> taken = new HashMap<>();
  private final TreeMap<Long, List<String>> byMinute = new TreeMap<>();
  private long watermark = Times.MIN;

  Ids(long within, long open) {
    this.within = within;
    keep = Times.plus(within, open);
  }

  /** Whether an event with this ID was taken at most {@code within} from this time. */
  boolean holds(String id, long time) {
    // The comparison is exact although IDs go by the minute: the result must not depend on when that happens.
    long[] times = taken.getOrDefault(id, new long[0]);
    for (int n = 0; n < times.length; n += 2) {
      if (Math.abs(times[n] - time) <= within && !isOver(times[n + 1])) {
        return true;
      }
    }
    return false;
  }

  void take(String id, long time, long clock) {
    if (isOver(clock)) {
      return;
    }
    taken.merge(id, new long[] {time, clock}, (known, more) -> {
      long[] all = Arrays.copyOf(known, known.length + 2);
      System.arraycopy(more, 0, all, known.length, 2);
      return all;
    });
    byMinute.computeIfAbsent(Math.floorDiv(clock, MINUTE), minute -> new ArrayList<>()).add(id);
  }

  void advance(long to) {
    watermark = Math.max(watermark, to);
    if (watermark == Times.MIN) {
      return;
    }
    long floor = Math.floorDiv(Times.minus(watermark, keep), MINUTE);
    while (!byMinute.isEmpty() && byMinute.firstKey() < floor) {
      for (String id : byMinute.pollFirstEntry().getValue()) {
        taken.computeIfPresent(id, (key, times) -> kept(times));
      }
    }
  }

  private long[] kept(long[] times) {
    long[] kept = new long[times.length];
    int length = 0;
    for (int n = 0; n < times.length; n += 2) {
      if (!isOver(times[n + 1])) {
        kept[length++] = times[n];
        kept[length++] = times[n + 1];
      }
    }
    return length == 0 ? null : Arrays.copyOf(kept, length);
  }

  private boolean isOver(long clock) {
    return Times.plus(clock, keep) <= watermark;
  }

  void write(DataOutput out) throws IOException {
    Codec.writeLong(out, watermark);
    Codec.writeLong(out, taken.size());
    for (Map.Entry<String, long[]> id : taken.entrySet()) {
      Codec.writeText(out, id.getKey());
      Codec.writeLong(out, id.getValue().length);
      for (long time : id.getValue()) {
        Codec.writeLong(out, time);
      }
    }
  }

  void read(DataInput in) throws IOException {
    watermark = Codec.readLong(in);
    for (long left = Codec.readLong(in); left > 0; left--) {
      String id = Codec.readText(in);
      long[] times = new long[(int) Codec.readLong(in)];
      for (int n = 0; n < times.length; n++) {
        times[n] = Codec.readLong(in);
      }
      for (int n = 0; n < times.length; n += 2) {
        take(id, times[n], times[n + 1]);
      }
    }
  }
}
