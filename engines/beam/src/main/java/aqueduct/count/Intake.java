package aqueduct.count;

import aqueduct.config.Config;
import aqueduct.count.Reader.Digest;
import aqueduct.count.Reader.Part;
import aqueduct.count.Reader.Refusal;
import aqueduct.count.Windows.Fate;
import aqueduct.event.Times;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * Decides what happens to each event in each flow, in the order in which events arrive: where lateness is judged, copies
 * are recognised and counts begin. What it passes on can be merged in any order.
 */
public final class Intake {
  /** The outcomes of an offset in a flow. A click is PENDING until the join has seen it. */
  public enum Outcome { COUNTED, DUPLICATE, LATE, REJECTED, IGNORED, FILTERED, UNMATCHED, LOST, ABSENT, PENDING }

  /** When the record of an event was written, null if that is not known, and published; a file has the current time. */
  public record Origin(Long kafkaTime, long publishTime) {}

  /** Takes what is counted. */
  public interface Sink {
    /** A change of a key's cell. Windows that end before {@code floor} do not take it. */
    void count(int flow, byte[] key, long slice, long floor, long feeds, Object[] inputs);

    /** A view or a click that a join has to see. */
    void join(JoinEvent event);
  }

  /**
   * A view or a click of a join: its number in the order of arrival, the watermark at that time, the value that it
   * shares, and what it feeds. {@code countsAlone}: a click that is no view and counts under its own columns if its value
   * has reached the limit.
   */
  public record JoinEvent(int flow, String on, long number, long watermark, boolean isView, long time, byte[] key,
      long feeds, Object[] inputs, boolean countsAlone) {}

  /**
   * The effect of an event: its time, which moves the clocks; the first reason for which a flow refused it; which flows did;
   * and whether one took it.
   */
  public record Verdict(Long time, Refusal refusal, BitSet refused, boolean isTaken) {}

  private static final BitSet NO_FLOWS = new BitSet();

  private final List<Flow> flows;
  private final Ids ids;
  private final long[] watermarks;
  private final long[] views;
  private final long[] clicks;
  private final List<Map<Outcome, Long>> ledgers = new ArrayList<>();
  private final Sink sink;
  private long number;

  public Intake(Config config, Sink sink) {
    flows = config.flows();
    this.sink = sink;
    watermarks = new long[flows.size()];
    views = new long[flows.size()];
    clicks = new long[flows.size()];
    long open = 0;
    for (int n = 0; n < watermarks.length; n++) {
      Flow flow = flows.get(n);
      watermarks[n] = Times.MIN;
      views[n] = flow.feeds(Flow.Source.VIEWS);
      clicks[n] = flow.feeds(Flow.Source.CLICKS);
      open = Math.max(open, Times.plus(flow.windows().longest(), flow.allowedLateness()));
      ledgers.add(new EnumMap<>(Outcome.class));
    }
    ids = new Ids(config.events().idWithin(), open);
  }

  /** Moves the watermark of every flow by a clock of its kind of time. */
  public void advance(long clock) {
    long slowest = Times.MAX;
    for (int n = 0; n < watermarks.length; n++) {
      watermarks[n] = Math.max(watermarks[n], Times.minus(clock, flows.get(n).outOfOrderness()));
      slowest = Math.min(slowest, watermarks[n]);
    }
    ids.advance(slowest);
  }

  /** The watermark of a flow. */
  public long watermark(int flow) {
    return watermarks[flow];
  }

  /** Accounts for an event that no flow could read. {@code before} is null unless it was rejected and is redriven. */
  public Verdict refuse(Refusal refusal, Refused before) {
    if (before == null) {
      account(Outcome.REJECTED, 1);
    }
    return new Verdict(null, refusal, before == null ? Refused.byAll(flows.size()).flows() : before.flows(), false);
  }

  /** Accounts for offsets that have the same outcome in every flow; fewer of them if the number is negative. */
  public void account(Outcome outcome, long offsets) {
    ledgers.forEach(ledger -> ledger.merge(outcome, offsets, Long::sum));
  }

  /** Counts one event. If it was rejected and is redriven, it concerns the flows that rejected it. */
  public Verdict count(Digest digest, Origin origin, Refused before) {
    number++;
    long event = digest.time() != null ? digest.time()
        : origin.kafkaTime() != null ? origin.kafkaTime() : origin.publishTime();
    // If a flow took the record when it first arrived, the ID is its own, and every later copy was a duplicate.
    boolean isItsOwn = before != null && before.isTaken();
    boolean isCopy = !isItsOwn && digest.id() != null && ids.holds(digest.id(), event);
    Refusal refusal = digest.badId();
    BitSet refused = NO_FLOWS;
    boolean isTaken = false;
    for (int n = 0; n < watermarks.length; n++) {
      if (before != null && !before.flows().get(n)) {
        continue;
      }
      Part part = digest.parts()[n];
      Outcome outcome;
      if (digest.badId() != null) {
        outcome = Outcome.REJECTED;
      } else if (isCopy) {
        outcome = Outcome.DUPLICATE;
      } else {
        Refusal own = refusal(n, digest, part, origin);
        if (own != null) {
          outcome = Outcome.REJECTED;
          refusal = refusal == null ? own : refusal;
        } else {
          outcome = part.feeds() == 0 ? Outcome.IGNORED : taken(n, time(n, digest, origin), part);
        }
      }
      isTaken |= outcome == Outcome.COUNTED || outcome == Outcome.PENDING;
      if (outcome == Outcome.REJECTED) {
        refused = refused.isEmpty() ? new BitSet() : refused;
        refused.set(n);
      }
      ledgers.get(n).merge(outcome, 1L, Long::sum);
      if (before != null) {
        ledgers.get(n).merge(Outcome.REJECTED, -1L, Long::sum);
      }
    }
    // The ID of an event that no flow took stays free, so that a corrected copy from the producer counts.
    if (digest.id() != null && isTaken && !isItsOwn) {
      ids.take(digest.id(), event, time(0, digest, origin));
    }
    return new Verdict(digest.time(), refusal, refused, isTaken);
  }

  private Refusal refusal(int n, Digest digest, Part part, Origin origin) {
    String kind = flows.get(n).time();
    if (kind.equals("event") && digest.refusal() != null) {
      return digest.refusal();
    }
    return kind.equals("kafka") && origin.kafkaTime() == null ? new Refusal("no-timestamp", null) : part.refusal();
  }

  /** The time of an event in the kind of time of a flow, which is not later than the event where it is never late. */
  private long time(int n, Digest digest, Origin origin) {
    return switch (flows.get(n).time()) {
      case "event" -> digest.time();
      case "kafka" -> origin.kafkaTime();
      default -> Math.max(origin.publishTime(), watermarks[n]);
    };
  }

  private Outcome taken(int n, long time, Part part) {
    if (flows.get(n).join() == null || (part.feeds() & (views[n] | clicks[n])) == 0) {
      return add(n, time, part, part.feeds());
    }
    boolean isView = (part.feeds() & views[n]) != 0;
    Outcome outcome = Outcome.UNMATCHED;
    if (isView) {
      // A view counts under its own columns; that it is a click as well is for the join.
      outcome = add(n, time, part, part.feeds() & ~clicks[n]);
      if (part.view() != null) {
        sink.join(new JoinEvent(n, part.view(), number, watermarks[n], true, time, part.key(), 0, NONE, false));
      }
    }
    if ((part.feeds() & clicks[n]) != 0) {
      Outcome click = click(n, time, part, isView);
      outcome = isView ? outcome : click;
    }
    return outcome;
  }

  private static final Object[] NONE = {};

  private Outcome click(int n, long time, Part part, boolean isView) {
    Fate fate = flows.get(n).windows().fate(time, closed(n));
    if (fate != Fate.COUNTED && fate != Fate.BETWEEN_OPEN) {
      return outcome(fate);
    }
    if (part.click() == null) {
      return Outcome.UNMATCHED;
    }
    long more = isView ? 0 : part.feeds() & ~clicks[n];
    Object[] inputs = isView ? NONE : part.inputs();
    sink.join(new JoinEvent(
        n, part.click(), number, watermarks[n], false, time, part.key(), more, inputs, !isView));
    return Outcome.PENDING;
  }

  private long closed(int n) {
    return Times.minus(watermarks[n], flows.get(n).allowedLateness());
  }

  private Outcome add(int n, long time, Part part, long feeds) {
    Windows windows = flows.get(n).windows();
    Fate fate = windows.fate(time, closed(n));
    if (fate == Fate.COUNTED) {
      sink.count(n, part.key(), windows.slice(time), floor(windows, time, closed(n)), feeds, part.inputs());
    }
    return outcome(fate);
  }

  private static Outcome outcome(Fate fate) {
    return switch (fate) {
      case COUNTED -> Outcome.COUNTED;
      case LATE -> Outcome.LATE;
      case BETWEEN, BETWEEN_OPEN -> Outcome.IGNORED;
    };
  }

  /** The end of the first window that still takes an event; the beginning of time if all windows of its time do. */
  public static long floor(Windows windows, long time, long closed) {
    long[] ends = {Times.MAX, Times.MAX};
    windows.holding(time, (start, end) -> {
      ends[0] = Math.min(ends[0], end);
      if (end > closed) {
        ends[1] = Math.min(ends[1], end);
      }
    });
    return ends[0] == ends[1] ? Times.MIN : ends[1];
  }

  public void write(DataOutput out) throws IOException {
    Codec.writeLong(out, watermarks.length);
    for (int n = 0; n < watermarks.length; n++) {
      Codec.writeText(out, signature(flows.get(n)));
      Codec.writeLong(out, watermarks[n]);
      Codec.writeLong(out, ledgers.get(n).size());
      for (Map.Entry<Outcome, Long> outcome : ledgers.get(n).entrySet()) {
        Codec.writeText(out, outcome.getKey().name());
        Codec.writeLong(out, outcome.getValue());
      }
    }
    Codec.writeLong(out, number);
    ids.write(out);
  }

  /**
   * Restores what was saved. Flows may have been added behind the others, and their lateness changed.
   *
   * @throws IOException if what a flow counts has changed
   */
  public void read(DataInput in) throws IOException {
    long saved = Codec.readLong(in);
    for (int n = 0; n < saved; n++) {
      String signature = Codec.readText(in);
      if (n >= flows.size() || !signature.equals(signature(flows.get(n)))) {
        throw new IOException("the state was saved with the flow " + signature + " in this place, and the configuration has "
            + (n >= flows.size() ? "fewer flows" : signature(flows.get(n))) + "; what a flow counts cannot change while its "
            + "state is kept: restore it, and add a flow with another name behind the others");
      }
      watermarks[n] = Codec.readLong(in);
      for (long left = Codec.readLong(in); left > 0; left--) {
        ledgers.get(n).put(Outcome.valueOf(Codec.readText(in)), Codec.readLong(in));
      }
    }
    number = Codec.readLong(in);
    ids.read(in);
    for (int n = (int) saved; n < watermarks.length; n++) {
      // A new flow begins where the others are: what came before is not in it.
      watermarks[n] = saved == 0 ? Times.MIN : watermarks[0];
      if (saved > 0) {
        // So that its outcomes add up to the number of offsets, as those of the others do.
        ledgers.get(n).put(Outcome.ABSENT, ledgers.get(0).values().stream().mapToLong(Long::longValue).sum());
      }
    }
  }

  /** What must not change while the state of a flow is kept. */
  private static String signature(Flow flow) {
    List<String> fed = new ArrayList<>();
    flow.fed().forEach(of -> fed.add(of.name() + " " + of.aggregation() + " " + of.at() + " " + of.source()));
    Flow.Join join = flow.join();
    String joined = join == null ? "" : " join " + join.view() + " " + join.click() + " " + join.within();
    return flow.name() + " " + flow.time() + " " + flow.by() + " " + flow.windows() + " " + fed + joined;
  }

  /** How many events of each flow have each outcome. */
  public List<Map<Outcome, Long>> ledgers() {
    return ledgers;
  }
}
