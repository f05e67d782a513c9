package aqueduct.count;

import aqueduct.count.Intake.JoinEvent;
import aqueduct.event.Times;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;

/**
 * The views and clicks of a join that share one value. A click belongs to the newest view at most {@code within} before
 * it; of several views at one time, to the one with the smallest key. An arrival changes the owner of one contiguous
 * range of clicks, and so the counts of that range: one change for each slice of the windows.
 *
 * <p>Events arrive in the order of their numbers. What their watermark has passed is forgotten before they are counted.
 */
public final class JoinValue {
  /** Takes a change that an arrival causes, with the watermark at its time. */
  public interface Changes {
    void count(byte[] key, long time, long feeds, Object[] inputs, long times);
  }

  private static final long SECOND = 1_000;

  private record View(long time, byte[] key) {}

  private static final class Click {
    final long time;
    final long feeds;
    final Object[] inputs;
    /** Whether its outcome depends on whether it finds a view. */
    boolean pending;

    Click(long time, long feeds, Object[] inputs, boolean pending) {
      this.time = time;
      this.feeds = feeds;
      this.inputs = inputs;
      this.pending = pending;
    }
  }

  private final Flow.Join join;
  private final Windows windows;
  private final long keep;
  private final long clicksBit;
  private final long attributedBit;
  private Changes changes;
  private final List<View> views = new ArrayList<>();
  private final List<Click> clicks = new ArrayList<>();
  /** The time of the newest view that was forgotten while something of this value remained. */
  private long forgotten = Times.MIN;
  /** The second in which something is to be forgotten. */
  private long due = Times.MAX;

  /** How many clicks have found a view, were left without one, and exceeded the limit, with views that did. */
  public long found;

  public long unmatched;
  public long overLimit;

  public JoinValue(Flow flow, Changes changes) {
    join = flow.join();
    windows = flow.windows();
    keep = Times.plus(join.within(), Times.plus(windows.longest(), flow.allowedLateness()));
    clicksBit = flow.feeds(Flow.Source.CLICKS);
    attributedBit = flow.feeds(Flow.Source.JOIN);
    this.changes = changes;
  }

  /** Where changes go from now on. */
  public JoinValue to(Changes receiver) {
    changes = receiver;
    return this;
  }

  /** The watermark at which something is to be forgotten; the end of time if nothing is kept. */
  public long due() {
    return due == Times.MAX ? due : due * SECOND;
  }

  public void write(DataOutput out) throws IOException {
    Codec.writeLong(out, views.size());
    for (View view : views) {
      Codec.writeLong(out, view.time);
      Codec.writeBytes(out, view.key);
    }
    Codec.writeLong(out, clicks.size());
    for (Click click : clicks) {
      Codec.writeLong(out, click.time);
      Codec.writeLong(out, click.feeds);
      Codec.writeInputs(out, click.inputs);
      out.writeBoolean(click.pending);
    }
    Codec.writeLong(out, forgotten);
    Codec.writeLong(out, due);
  }

  /** What was saved of a value of this flow. */
  public static JoinValue read(Flow flow, DataInput in) throws IOException {
    JoinValue value = new JoinValue(flow, null);
    for (long left = Codec.readLong(in); left > 0; left--) {
      value.views.add(new View(Codec.readLong(in), Codec.readBytes(in)));
    }
    for (long left = Codec.readLong(in); left > 0; left--) {
      value.clicks.add(new Click(Codec.readLong(in), Codec.readLong(in), Codec.readInputs(in), in.readBoolean()));
    }
    value.forgotten = Codec.readLong(in);
    value.due = Codec.readLong(in);
    return value;
  }

  /** A view or a click arrives; a view's own count is the caller's. Whether the join takes it, or it is over the limit. */
  public boolean arrives(JoinEvent event) {
    expire(event.watermark());
    if (event.isView() && Times.plus(event.time(), keep) <= event.watermark()) {
      return true;
    }
    if (views.size() + clicks.size() >= join.limit()) {
      overLimit++;
      return false;
    }
    due = Math.min(due, secondAfter(Times.plus(event.time(), keep)));
    if (event.isView()) {
      view(event);
    } else {
      click(event);
    }
    return true;
  }

  /** No more events arrive: clicks that have no view stay without one. */
  public void end() {
    expire(Times.MAX);
  }

  private void view(JoinEvent event) {
    long time = event.time();
    byte[] key = event.key();
    int at = first(views, View::time, time);
    if (at < views.size() && views.get(at).time == time) {
      byte[] from = views.get(at).key;
      if (Keys.compare(from, key) <= 0) {
        return;
      }
      views.set(at, new View(time, key));
      List<Click> owned = owned(at);
      if (!owned.isEmpty()) {
        count(owned, from, -1);
        count(owned, key, 1);
        attribute(from, time, -1);
        attribute(key, time, 1);
      }
      return;
    }
    takeOver(at, time, key);
    views.add(at, new View(time, key));
  }

  private void click(JoinEvent event) {
    Click click = new Click(event.time(), event.feeds(), event.inputs(), event.countsAlone());
    int newest = newestView(click.time);
    boolean hasView = newest >= 0 && click.time <= Times.plus(views.get(newest).time, join.within());
    // A view that was forgotten: every window that the click could change is over.
    boolean hadView = forgotten > Times.MIN && click.time <= Times.plus(forgotten, join.within());
    if (hasView) {
      View view = views.get(newest);
      boolean isFirst = owned(newest).isEmpty();
      count(List.of(click), view.key, 1);
      if (isFirst) {
        attribute(view.key, view.time, 1);
      }
    }
    if ((hasView || hadView) && click.pending) {
      find(click);
    }
    clicks.add(first(clicks, c -> c.time, click.time + 1), click);
  }

  private void find(Click click) {
    click.pending = false;
    found++;
  }

  /** The newest view at or before a time; -1 if there is none, or it is older than one that was forgotten. */
  private int newestView(long time) {
    int newest = first(views, View::time, time + 1) - 1;
    boolean isNewest = newest >= 0 && (views.get(newest).time >= forgotten || time < forgotten);
    return isNewest ? newest : -1;
  }

  /** The time of the view at a place or, if that is sooner, of one that was forgotten after {@code time}. */
  private long nextView(int at, long time) {
    long next = at < views.size() ? views.get(at).time : Times.MAX;
    return forgotten > time ? Math.min(next, forgotten) : next;
  }

  private List<Click> between(long from, long until) {
    int start = first(clicks, c -> c.time, from);
    return clicks.subList(start, Math.max(start, first(clicks, c -> c.time, until)));
  }

  private List<Click> owned(int view) {
    long from = views.get(view).time;
    return between(from, Math.min(nextView(view + 1, from), Times.plus(from, join.within()) + 1));
  }

  /** A new view, about to be inserted at a place, takes the clicks between it and the next view. */
  private void takeOver(int at, long time, byte[] key) {
    long until = Math.min(nextView(at, time), Times.plus(time, join.within()) + 1);
    List<Click> taken = between(time, until);
    if (taken.isEmpty()) {
      return;
    }
    View previous = at > 0 ? views.get(at - 1) : null;
    if (previous != null && forgotten > previous.time && time >= forgotten) {
      previous = null;
    }
    // The first of them, up to `within` after the view before, have had a view until now.
    long had = previous == null ? forgotten : previous.time;
    long hadUntil = had == Times.MIN ? had : Times.plus(had, join.within()) + 1;
    int split = first(taken, c -> c.time, hadUntil);
    List<Click> moved = taken.subList(0, split);
    List<Click> newly = taken.subList(split, taken.size());
    newly.stream().filter(click -> click.pending).forEach(this::find);
    count(newly, key, 1);
    boolean isAttributed = !newly.isEmpty();
    if (previous != null && !moved.isEmpty()) {
      count(moved, previous.key, -1);
      count(moved, key, 1);
      isAttributed = true;
      if (between(previous.time, time).isEmpty()) {
        attribute(previous.key, previous.time, -1);
      }
    }
    if (isAttributed) {
      attribute(key, time, 1);
    }
  }

  /** Counts clicks under a key: one change for each slice, and one for each click that feeds further measures. */
  private void count(List<Click> moved, byte[] key, long sign) {
    for (int from = 0; from < moved.size(); ) {
      Click one = moved.get(from);
      long slice = windows.slice(one.time);
      int to = from;
      for (; to < moved.size() && windows.slice(moved.get(to).time) == slice; to++) {
        Click click = moved.get(to);
        if (click.feeds != 0) {
          changes.count(key, click.time, click.feeds, click.inputs, sign);
        }
      }
      changes.count(key, one.time, clicksBit, new Object[0], sign * (to - from));
      from = to;
    }
  }

  private void attribute(byte[] key, long time, long sign) {
    changes.count(key, time, attributedBit, new Object[0], sign);
  }

  /** Forgets what no window can see any more, by whole seconds of the watermark. */
  public void expire(long watermark) {
    long reached = watermark == Times.MAX ? watermark : watermark - Math.floorMod(watermark, SECOND);
    if (watermark == Times.MIN || watermark != Times.MAX && due > Math.floorDiv(reached, SECOND)) {
      return;
    }
    int oldViews = watermark == Times.MAX ? views.size() : first(views, v -> Times.plus(v.time, keep), reached + 1);
    int oldClicks = watermark == Times.MAX ? clicks.size() : first(clicks, c -> Times.plus(c.time, keep), reached + 1);
    int next = 0;
    // A view is never newer than its click, so it is due no later.
    for (Click click : clicks.subList(0, oldClicks)) {
      for (; next < oldViews && views.get(next).time <= click.time; next++) {
        forgotten = Math.max(forgotten, views.get(next).time);
      }
      boolean isMatched = forgotten > Times.MIN && click.time <= Times.plus(forgotten, join.within());
      if (click.pending && isMatched) {
        find(click);
      } else if (click.pending) {
        unmatched++;
      }
    }
    if (oldViews > next) {
      forgotten = Math.max(forgotten, views.get(oldViews - 1).time);
    }
    clicks.subList(0, oldClicks).clear();
    views.subList(0, oldViews).clear();
    if (views.isEmpty() && clicks.isEmpty()) {
      forgotten = Times.MIN;
      due = Times.MAX;
    } else {
      long oldest = Math.min(views.isEmpty() ? Times.MAX : views.get(0).time,
          clicks.isEmpty() ? Times.MAX : clicks.get(0).time);
      due = secondAfter(Times.plus(oldest, keep));
    }
  }

  private static long secondAfter(long time) {
    return -Math.floorDiv(-time, SECOND);
  }

  /** The first place whose time is at least {@code time}. */
  private static <T> int first(List<T> list, ToLongFunction<T> timeOf, long time) {
    int from = 0;
    for (int to = list.size(); from < to; ) {
      int middle = (from + to) >>> 1;
      if (timeOf.applyAsLong(list.get(middle)) < time) {
        from = middle + 1;
      } else {
        to = middle;
      }
    }
    return from;
  }
}
