package aqueduct.count;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.datasketches.hll.HllSketch;
import org.apache.datasketches.hll.TgtHllType;
import org.apache.datasketches.hll.Union;

/**
 * The stored measures of one key in one slice, window or session. Cells merge in any order with the same result. Where
 * events may be taken back, cells hold every value with the number of its events, which is negative for a while if it is
 * taken back in another bundle than the one that counted it.
 */
public final class Cells {
  /** The binary logarithm of the number of registers of a sketch. */
  private static final int LOG_REGISTERS = 12;

  private final List<Flow.Fed> fed;
  private final boolean takesBack;
  /** Events of counts and sums. */
  private final long[] counts;
  /** A BigInteger of a sum, a minimum or a maximum; a Union; or a map from a value to its events. */
  private final Object[] values;

  public Cells(Flow flow) {
    fed = flow.fed();
    takesBack = flow.takesBack();
    counts = new long[fed.size()];
    values = new Object[fed.size()];
  }

  /** Applies a change: the measures as bits, and the inputs of those that need one, in their order. */
  public void add(long feeds, Object[] inputs, long times) {
    int next = 0;
    for (int n = 0; n < counts.length; n++) {
      if ((feeds >> n & 1) == 0) {
        continue;
      }
      if (fed.get(n).aggregation() == Flow.Aggregation.COUNT) {
        counts[n] += times;
      } else {
        addValue(n, inputs[next++], times);
      }
    }
  }

  private void addValue(int n, Object input, long times) {
    switch (fed.get(n).aggregation()) {
      case SUM -> {
        counts[n] += times;
        BigInteger sum = times == 1 ? (BigInteger) input : ((BigInteger) input).multiply(BigInteger.valueOf(times));
        values[n] = values[n] == null ? sum : sum.add((BigInteger) values[n]);
      }
      case DISTINCT -> {
        if (takesBack) {
          addTo(bag(n), input, times);
        } else {
          sketch(n).update((Long) input);
        }
      }
      default -> {
        if (takesBack) {
          addTo(bag(n), input, times);
        } else {
          values[n] = extreme(n, (BigInteger) values[n], (BigInteger) input);
        }
      }
    }
  }

  private BigInteger extreme(int n, BigInteger known, BigInteger other) {
    if (known == null) {
      return other;
    }
    return fed.get(n).aggregation() == Flow.Aggregation.MIN ? known.min(other) : known.max(other);
  }

  @SuppressWarnings("unchecked")
  private Map<Object, Long> bag(int n) {
    if (values[n] == null) {
      values[n] = fed.get(n).aggregation() == Flow.Aggregation.DISTINCT ? new HashMap<>() : new TreeMap<>();
    }
    return (Map<Object, Long>) values[n];
  }

  private static void addTo(Map<Object, Long> bag, Object value, long times) {
    bag.merge(value, times, (a, b) -> a + b == 0 ? null : Long.valueOf(a + b));
  }

  private Union sketch(int n) {
    if (values[n] == null) {
      values[n] = new Union(LOG_REGISTERS);
    }
    return (Union) values[n];
  }

  public void merge(Cells other) {
    for (int n = 0; n < counts.length; n++) {
      counts[n] += other.counts[n];
      Object value = other.values[n];
      if (value instanceof BigInteger number) {
        BigInteger known = (BigInteger) values[n];
        boolean isSum = fed.get(n).aggregation() == Flow.Aggregation.SUM;
        values[n] = !isSum ? extreme(n, known, number) : known == null ? number : known.add(number);
      } else if (value instanceof Union union) {
        sketch(n).update(union.getResult(TgtHllType.HLL_8));
      } else if (value != null) {
        int number = n;
        other.bag(n).forEach((item, times) -> addTo(bag(number), item, times));
      }
    }
  }

  /** A count, the events of a sum or an estimate. */
  public long count(int n) {
    return fed.get(n).aggregation() == Flow.Aggregation.DISTINCT
        ? Math.round(whole(n).getCompositeEstimate()) : Math.max(0, counts[n]);
  }

  /** A sum, or the smallest or largest value in billionths; null if there is none. */
  public BigInteger number(int n) {
    Flow.Aggregation aggregation = fed.get(n).aggregation();
    if (aggregation == Flow.Aggregation.SUM) {
      return values[n] == null ? BigInteger.ZERO : (BigInteger) values[n];
    }
    if (!takesBack || values[n] == null) {
      return (BigInteger) values[n];
    }
    TreeMap<Object, Long> bag = (TreeMap<Object, Long>) bag(n);
    if (bag.isEmpty()) {
      return null;
    }
    return (BigInteger) (aggregation == Flow.Aggregation.MIN ? bag.firstKey() : bag.lastKey());
  }

  private Union whole(int n) {
    if (!takesBack) {
      return sketch(n);
    }
    Union union = new Union(LOG_REGISTERS);
    bag(n).keySet().forEach(item -> union.update((Long) item));
    return union;
  }

  /**
   * The bytes of a sketch, the same for the same values: a list of a few values is sorted, and with many, the estimate
   * that depends on their order is marked as not to be used.
   */
  public byte[] sketchBytes(int n) {
    HllSketch sketch = whole(n).getResult(TgtHllType.HLL_8);
    byte[] bytes = sketch.toCompactByteArray();
    int form = bytes[7] & 3;
    if (form == 2) {
      Union twice = new Union(LOG_REGISTERS);
      twice.update(sketch);
      twice.update(sketch);
      return twice.getResult(TgtHllType.HLL_8).toCompactByteArray();
    }
    int header = form == 0 ? 8 : 12;
    int[] values = new int[Math.max(0, (bytes.length - header) / 4)];
    for (int i = 0; i < values.length; i++) {
      values[i] = Integer.reverseBytes(java.nio.ByteBuffer.wrap(bytes).getInt(header + 4 * i)) ^ Integer.MIN_VALUE;
    }
    Arrays.sort(values);
    for (int i = 0; i < values.length; i++) {
      java.nio.ByteBuffer.wrap(bytes).putInt(header + 4 * i, Integer.reverseBytes(values[i] ^ Integer.MIN_VALUE));
    }
    return bytes;
  }

  /** Whether nothing is in it where events may be taken back: a value of 0 is something. */
  public boolean isEmpty() {
    boolean isCounted = Arrays.stream(counts).anyMatch(count -> count != 0);
    return !isCounted && Arrays.stream(values).noneMatch(value -> value instanceof Map<?, ?> bag && !bag.isEmpty());
  }

  /** Whether every measure is 0 or NULL. */
  public boolean isZero() {
    for (int n = 0; n < counts.length; n++) {
      Flow.Aggregation aggregation = fed.get(n).aggregation();
      boolean isNumber = aggregation != Flow.Aggregation.COUNT && aggregation != Flow.Aggregation.DISTINCT;
      if (isNumber ? number(n) != null && number(n).signum() != 0 : count(n) != 0) {
        return false;
      }
    }
    return true;
  }

  public void write(DataOutput out) throws IOException {
    for (int n = 0; n < counts.length; n++) {
      Codec.writeLong(out, counts[n]);
      Object value = values[n];
      if (value == null) {
        out.writeByte(0);
      } else if (value instanceof BigInteger number) {
        out.writeByte(1);
        Codec.writeBytes(out, number.toByteArray());
      } else if (value instanceof Union union) {
        out.writeByte(2);
        Codec.writeBytes(out, union.getResult(TgtHllType.HLL_8).toCompactByteArray());
      } else {
        out.writeByte(3);
        Map<Object, Long> bag = bag(n);
        Codec.writeLong(out, bag.size());
        for (Map.Entry<Object, Long> entry : bag.entrySet()) {
          Codec.writeInput(out, entry.getKey());
          Codec.writeLong(out, entry.getValue());
        }
      }
    }
  }

  public static Cells read(Flow flow, DataInput in) throws IOException {
    Cells cells = new Cells(flow);
    for (int n = 0; n < cells.counts.length; n++) {
      cells.counts[n] = Codec.readLong(in);
      switch (in.readByte()) {
        case 1 -> cells.values[n] = new BigInteger(Codec.readBytes(in));
        case 2 -> cells.sketch(n).update(HllSketch.heapify(Codec.readBytes(in)));
        case 3 -> {
          Map<Object, Long> bag = cells.bag(n);
          for (long left = Codec.readLong(in); left > 0; left--) {
            bag.put(Codec.readInput(in), Codec.readLong(in));
          }
        }
        default -> { }
      }
    }
    return cells;
  }
}
