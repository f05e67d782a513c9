package aqueduct.count;

import aqueduct.event.Times;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.ArrayList;

/** The IDs of events that some flow took, with all their times, for as long as a window may take a copy. */
final class Ids {
  private static final long MINUTE = 60_000;

  private final long within;
  private final long keep;
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
    for (long other : taken.getOrDefault(id, new long[0])) {
      if (Math.abs(other - time) <= within && !isOver(other)) {
        return true;
      }
    }
    return false;
  }

  void take(String id, long time) {
    if (isOver(time)) {
      return;
    }
    taken.merge(id, new long[] {time}, (known, more) -> {
      long[] all = java.util.Arrays.copyOf(known, known.length + 1);
      all[known.length] = more[0];
      return all;
    });
    byMinute.computeIfAbsent(Math.floorDiv(time, MINUTE), minute -> new ArrayList<>()).add(id);
  }

  void advance(long to) {
    watermark = Math.max(watermark, to);
    if (watermark == Times.MIN) {
      return;
    }
    long floor = Math.floorDiv(Times.minus(watermark, keep), MINUTE);
    while (!byMinute.isEmpty() && byMinute.firstKey() < floor) {
      for (String id : byMinute.pollFirstEntry().getValue()) {
        taken.computeIfPresent(id, (key, times) -> {
          long[] kept = java.util.Arrays.stream(times).filter(time -> !isOver(time)).toArray();
          return kept.length == 0 ? null : kept;
        });
      }
    }
  }

  private boolean isOver(long time) {
    return Times.plus(time, keep) <= watermark;
  }
}
