package aqueduct.count;

import aqueduct.config.Config;
import aqueduct.count.Reader.Digest;
import aqueduct.count.Reader.Part;
import aqueduct.count.Reader.Refusal;
import aqueduct.count.Windows.Fate;
import aqueduct.event.Times;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * Decides what happens to each event in each flow, in the order in which events arrive: where lateness is judged, copies
 * are recognised and counts begin. What it passes on can be merged in any order.
 */
public final class Intake {
  /** The outcomes of an event in a flow. A click is PENDING until the join has seen it. */
  public enum Outcome { COUNTED, DUPLICATE, LATE, REJECTED, IGNORED, UNMATCHED, PENDING }

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

  /** The effect of an event: its time, which moves the clocks, and the first reason for which a flow refused it. */
  public record Verdict(Long time, Refusal refusal) {}

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

  /** Moves the watermark of every flow by a clock of event time. */
  public void advance(long clock) {
    long slowest = Times.MAX;
    for (int n = 0; n < watermarks.length; n++) {
      watermarks[n] = Math.max(watermarks[n], Times.minus(clock, flows.get(n).outOfOrderness()));
      slowest = Math.min(slowest, watermarks[n]);
    }
    ids.advance(slowest);
  }

  /** Accounts for an event that no flow could read. */
  public void refuse() {
    ledgers.forEach(ledger -> ledger.merge(Outcome.REJECTED, 1L, Long::sum));
  }

  /** Counts one event. {@code publishTime} stands for its time where it has none. */
  public Verdict count(Digest digest, long publishTime) {
    number++;
    long event = digest.time() == null ? publishTime : digest.time();
    boolean isCopy = digest.id() != null && ids.holds(digest.id(), event);
    Refusal refusal = digest.badId();
    boolean isTaken = false;
    for (int n = 0; n < watermarks.length; n++) {
      Part part = digest.parts()[n];
      Outcome outcome;
      if (digest.badId() != null) {
        outcome = Outcome.REJECTED;
      } else if (isCopy) {
        outcome = Outcome.DUPLICATE;
      } else if (digest.refusal() != null || part.refusal() != null) {
        outcome = Outcome.REJECTED;
        Refusal own = digest.refusal() != null ? digest.refusal() : part.refusal();
        refusal = refusal == null ? own : refusal;
      } else if (part.feeds() == 0) {
        outcome = Outcome.IGNORED;
      } else {
        outcome = taken(n, digest.time(), part);
      }
      isTaken |= outcome == Outcome.COUNTED || outcome == Outcome.PENDING;
      ledgers.get(n).merge(outcome, 1L, Long::sum);
    }
    // The ID of an event that no flow took stays free, so that a corrected copy from the producer counts.
    if (digest.id() != null && isTaken && digest.time() != null) {
      ids.take(digest.id(), event);
    }
    return new Verdict(digest.time(), refusal);
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

  /** How many events of each flow have each outcome. */
  public List<Map<Outcome, Long>> ledgers() {
    return ledgers;
  }
}
