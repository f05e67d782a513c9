package aqueduct.frontier;

import aqueduct.count.Codec;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** A set of offsets as disjoint half-open ranges, which merge where they touch. */
public final class Ranges {
  /** Start and end of some offsets. */
  public record Range(long start, long end) {}

  final TreeMap<Long, Long> byStart = new TreeMap<>();

  void insert(Range range) {
    long start = range.start;
    long end = range.end;
    for (Map.Entry<Long, Long> known = byStart.floorEntry(end); start < range.end && known != null
        && known.getValue() >= start; known = byStart.floorEntry(end)) {
      start = Math.min(start, known.getKey());
      end = Math.max(end, known.getValue());
      byStart.remove(known.getKey());
    }
    if (range.start < range.end) {
      byStart.put(start, end);
    }
  }

  void remove(long offset) {
    Map.Entry<Long, Long> known = byStart.floorEntry(offset);
    if (known == null || known.getValue() <= offset) {
      return;
    }
    byStart.remove(known.getKey());
    if (known.getKey() < offset) {
      byStart.put(known.getKey(), offset);
    }
    if (offset + 1 < known.getValue()) {
      byStart.put(offset + 1, known.getValue());
    }
  }

  boolean contains(long offset) {
    Map.Entry<Long, Long> known = byStart.floorEntry(offset);
    return known != null && offset < known.getValue();
  }

  void write(DataOutput out) throws IOException {
    Codec.writeLong(out, byStart.size());
    for (Map.Entry<Long, Long> range : byStart.entrySet()) {
      Codec.writeLong(out, range.getKey());
      Codec.writeLong(out, range.getValue());
    }
  }

  void read(DataInput in) throws IOException {
    for (long left = Codec.readLong(in); left > 0; left--) {
      byStart.put(Codec.readLong(in), Codec.readLong(in));
    }
  }

  List<Range> list() {
    List<Range> ranges = new ArrayList<>();
    byStart.forEach((start, end) -> ranges.add(new Range(start, end)));
    return ranges;
  }
}
