package aqueduct.count;

import aqueduct.count.Intake.Outcome;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * How many offsets of a flow have each outcome: all that a reader has accounted for or, of a join, those whose outcome has
 * become known, which are as many fewer that are pending.
 */
public record Ledger(int flow, int shard, boolean isTotal, long at, long watermark, long[] offsets) {
  /** What a reader has accounted for. */
  public static Ledger total(int flow, int shard, long at, long watermark, Map<Outcome, Long> outcomes) {
    long[] offsets = new long[Outcome.values().length];
    outcomes.forEach((outcome, count) -> offsets[outcome.ordinal()] = count);
    return new Ledger(flow, shard, true, at, watermark, offsets);
  }

  /** Clicks whose outcome has become known. */
  public static Ledger known(int flow, long counted, long unmatched, long ignored) {
    long[] offsets = new long[Outcome.values().length];
    offsets[Outcome.COUNTED.ordinal()] = counted;
    offsets[Outcome.UNMATCHED.ordinal()] = unmatched;
    offsets[Outcome.IGNORED.ordinal()] = ignored;
    offsets[Outcome.PENDING.ordinal()] = -counted - unmatched - ignored;
    return new Ledger(flow, -1, false, 0, 0, offsets);
  }

  /** This one with what another adds; the time and the watermark are those of the slower. */
  public Ledger plus(Ledger other) {
    long[] sum = offsets.clone();
    for (int n = 0; n < sum.length; n++) {
      sum[n] += other.offsets[n];
    }
    boolean isOwn = !other.isTotal;
    return new Ledger(flow, shard, isTotal, isOwn ? at : Math.max(at, other.at),
        isOwn ? watermark : Math.min(watermark, other.watermark), sum);
  }

  /** By the names of the columns. A join may know more than its readers had reported; the sum is right all the same. */
  public Map<String, Long> columns() {
    long early = Math.min(0, offsets[Outcome.PENDING.ordinal()]);
    Map<String, Long> columns = new TreeMap<>();
    for (Outcome outcome : Outcome.values()) {
      long more = outcome == Outcome.PENDING ? -early : outcome == Outcome.COUNTED ? early : 0;
      columns.put(outcome.name().toLowerCase(Locale.ROOT), offsets[outcome.ordinal()] + more);
    }
    return columns;
  }

  public void write(DataOutput out) throws IOException {
    Codec.writeLong(out, flow);
    Codec.writeLong(out, shard);
    out.writeBoolean(isTotal);
    Codec.writeLong(out, at);
    Codec.writeLong(out, watermark);
    Codec.writeLong(out, offsets.length);
    for (long offset : offsets) {
      Codec.writeLong(out, offset);
    }
  }

  public static Ledger read(DataInput in) throws IOException {
    int flow = (int) Codec.readLong(in);
    int shard = (int) Codec.readLong(in);
    boolean isTotal = in.readBoolean();
    long at = Codec.readLong(in);
    long watermark = Codec.readLong(in);
    long[] offsets = new long[(int) Codec.readLong(in)];
    for (int n = 0; n < offsets.length; n++) {
      offsets[n] = Codec.readLong(in);
    }
    return new Ledger(flow, shard, isTotal, at, watermark, offsets);
  }
}
