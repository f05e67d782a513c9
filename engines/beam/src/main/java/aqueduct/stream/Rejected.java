package aqueduct.stream;

import aqueduct.count.Codec;
import aqueduct.count.Refused;
import aqueduct.frontier.Mark.Partition;
import aqueduct.frontier.Ranges.Range;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.BitSet;
import java.util.Comparator;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;

/**
 * The offsets whose outcome is rejected, with the flows that say so. A redrive publishes such an offset again, and only
 * these flows take it. It is counted once, however often it is published: it leaves the set when a flow takes it, and if it
 * is rejected again, it keeps the number of the redrive and ignores copies up to that number.
 *
 * <p>The number of spans is limited. Beyond it, the lowest offsets of the partition with the most spans are forgotten: they
 * stay rejected.
 */
final class Rejected {
  /** Some 32 MiB. Consecutive offsets that the same flows rejected are one span. */
  static final int REMEMBERED = 250_000;

  private record Span(long end, Refused refused) {}

  private final int limit;
  /** By the first offset of each span. */
  private final TreeMap<Partition, TreeMap<Long, Span>> all = new TreeMap<>();
  private int count;

  Rejected(int limit) {
    this.limit = limit;
  }

  /** Null if the offset is not rejected, or not known to be any more. */
  Refused get(Partition partition, long offset) {
    TreeMap<Long, Span> spans = all.get(partition);
    Map.Entry<Long, Span> span = spans == null ? null : spans.floorEntry(offset);
    return span == null || span.getValue().end <= offset ? null : span.getValue().refused;
  }

  /** Notes the present outcome of offsets. If no flow refused them, they are not rejected any more. */
  void set(Partition partition, Range offsets, Refused refused) {
    TreeMap<Long, Span> spans = all.computeIfAbsent(partition, of -> new TreeMap<>());
    count -= spans.size();
    split(spans, offsets.start());
    split(spans, offsets.end());
    spans.subMap(offsets.start(), offsets.end()).clear();
    if (!refused.flows().isEmpty()) {
      put(spans, offsets, refused);
    }
    count += spans.size();
    if (spans.isEmpty()) {
      all.remove(partition);
    }
    if (count > limit) {
      forget();
    }
  }

  /** Leaves only the partitions that fulfil a condition. */
  void retain(Predicate<Partition> isKept) {
    all.keySet().removeIf(isKept.negate());
    count = all.values().stream().mapToInt(TreeMap::size).sum();
  }

  private static void split(TreeMap<Long, Span> spans, long at) {
    Map.Entry<Long, Span> span = spans.lowerEntry(at);
    if (span != null && span.getValue().end > at) {
      spans.put(span.getKey(), new Span(at, span.getValue().refused));
      spans.put(at, span.getValue());
    }
  }

  private static void put(TreeMap<Long, Span> spans, Range offsets, Refused refused) {
    Map.Entry<Long, Span> before = spans.lowerEntry(offsets.start());
    boolean touches = before != null && before.getValue().end == offsets.start() && before.getValue().refused.equals(refused);
    Span next = spans.get(offsets.end());
    boolean isFollowed = next != null && next.refused.equals(refused);
    if (isFollowed) {
      spans.remove(offsets.end());
    }
    spans.put(touches ? before.getKey() : Long.valueOf(offsets.start()),
        new Span(isFollowed ? next.end : offsets.end(), refused));
  }

  /** Until a sixteenth of the limit is free, so that the next time is far away. */
  private void forget() {
    while (count > limit - limit / 16) {
      TreeMap<Long, Span> most = all.values().stream().max(Comparator.comparingInt(TreeMap::size)).orElseThrow();
      for (int left = (most.size() + 1) / 2; left > 0; left--) {
        most.pollFirstEntry();
        count--;
      }
    }
    all.values().removeIf(TreeMap::isEmpty);
  }

  void write(DataOutput out) throws IOException {
    Codec.writeLong(out, all.size());
    for (Map.Entry<Partition, TreeMap<Long, Span>> spans : all.entrySet()) {
      Codec.writeText(out, spans.getKey().topic());
      Codec.writeText(out, spans.getKey().incarnation());
      Codec.writeLong(out, spans.getKey().number());
      Codec.writeLong(out, spans.getValue().size());
      for (Map.Entry<Long, Span> span : spans.getValue().entrySet()) {
        Refused refused = span.getValue().refused;
        Codec.writeLong(out, span.getKey());
        Codec.writeLong(out, span.getValue().end);
        Codec.writeBytes(out, refused.flows().toByteArray());
        out.writeBoolean(refused.isTaken());
        Codec.writeLong(out, refused.redrive());
      }
    }
  }

  void read(DataInput in) throws IOException {
    for (long left = Codec.readLong(in); left > 0; left--) {
      Partition partition = new Partition(Codec.readText(in), Codec.readText(in), (int) Codec.readLong(in));
      for (long spans = Codec.readLong(in); spans > 0; spans--) {
        Range offsets = new Range(Codec.readLong(in), Codec.readLong(in));
        BitSet flows = BitSet.valueOf(Codec.readBytes(in));
        set(partition, offsets, new Refused(flows, in.readBoolean(), Codec.readLong(in)));
      }
    }
  }
}
