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
 * become known, which are as many fewer that are pending. Behind the outcomes it has what {@code aqueduct reconcile} compares.
 *
 * @param numbers the offsets with each outcome, then the panes that have fired, the dead letters and the offsets in all
 * @param partitions the partitions of a reader, see {@link Accounted}
 */
public record Ledger(int flow, int shard, boolean isTotal, long at, long watermark, long[] numbers, String partitions) {
  private static final int PANES = Outcome.values().length;
  private static final int DEAD_LETTERS = PANES + 1;
  private static final int ACCOUNTED = PANES + 2;

  /**
   * What a reader has accounted for, which is the same for all flows.
   *
   * @param offsets how many there are in all partitions, with messages that have no offset
   * @param deadLetters how many of them have a dead letter with a position
   * @param partitions the offsets of each partition, as JSON objects with commas between them
   */
  public record Accounted(long offsets, long deadLetters, String partitions) {}

  /** What a reader has accounted for. */
  public static Ledger total(
      int flow, int shard, long at, long watermark, Map<Outcome, Long> outcomes, Accounted accounted) {
    long[] numbers = new long[ACCOUNTED + 1];
    outcomes.forEach((outcome, count) -> numbers[outcome.ordinal()] = count);
    numbers[DEAD_LETTERS] = accounted.deadLetters;
    numbers[ACCOUNTED] = accounted.offsets;
    return new Ledger(flow, shard, true, at, watermark, numbers, accounted.partitions);
  }

  /** Panes that have fired. */
  public static Ledger fired(int flow, long panes) {
    long[] numbers = new long[ACCOUNTED + 1];
    numbers[PANES] = panes;
    return new Ledger(flow, -1, false, 0, 0, numbers, "");
  }

  /** Clicks whose outcome has become known. */
  public static Ledger known(int flow, long counted, long unmatched, long ignored) {
    long[] numbers = new long[ACCOUNTED + 1];
    numbers[Outcome.COUNTED.ordinal()] = counted;
    numbers[Outcome.UNMATCHED.ordinal()] = unmatched;
    numbers[Outcome.IGNORED.ordinal()] = ignored;
    numbers[Outcome.PENDING.ordinal()] = -counted - unmatched - ignored;
    return new Ledger(flow, -1, false, 0, 0, numbers, "");
  }

  /** This one with what another adds; the time and the watermark are those of the slower. */
  public Ledger plus(Ledger other) {
    long[] sum = numbers.clone();
    for (int n = 0; n < sum.length; n++) {
      sum[n] += other.numbers[n];
    }
    boolean isOwn = !other.isTotal;
    String comma = partitions.isEmpty() || other.partitions.isEmpty() ? "" : ",";
    return new Ledger(flow, shard, isTotal, isOwn ? at : Math.max(at, other.at),
        isOwn ? watermark : Math.min(watermark, other.watermark), sum, partitions + comma + other.partitions);
  }

  /** By the names of the columns. A join may know more than its readers had reported; the sum is right all the same. */
  public Map<String, Long> columns() {
    long early = Math.min(0, numbers[Outcome.PENDING.ordinal()]);
    Map<String, Long> columns = new TreeMap<>();
    for (Outcome outcome : Outcome.values()) {
      long more = outcome == Outcome.PENDING ? -early : outcome == Outcome.COUNTED ? early : 0;
      columns.put(outcome.name().toLowerCase(Locale.ROOT), numbers[outcome.ordinal()] + more);
    }
    return columns;
  }

  /** The column detail: what the rows, dead letters and offsets have to agree with, as JSON. */
  public String detail() {
    return "{\"panes\":" + numbers[PANES] + ",\"dead_letters\":" + numbers[DEAD_LETTERS] + ",\"accounted\":"
        + numbers[ACCOUNTED] + ",\"partitions\":[" + partitions + "]}";
  }

  public void write(DataOutput out) throws IOException {
    Codec.writeLong(out, flow);
    Codec.writeLong(out, shard);
    out.writeBoolean(isTotal);
    Codec.writeLong(out, at);
    Codec.writeLong(out, watermark);
    Codec.writeLong(out, numbers.length);
    for (long number : numbers) {
      Codec.writeLong(out, number);
    }
    Codec.writeText(out, partitions);
  }

  public static Ledger read(DataInput in) throws IOException {
    int flow = (int) Codec.readLong(in);
    int shard = (int) Codec.readLong(in);
    boolean isTotal = in.readBoolean();
    long at = Codec.readLong(in);
    long watermark = Codec.readLong(in);
    long[] numbers = new long[(int) Codec.readLong(in)];
    for (int n = 0; n < numbers.length; n++) {
      numbers[n] = Codec.readLong(in);
    }
    return new Ledger(flow, shard, isTotal, at, watermark, numbers, Codec.readText(in));
  }
}
