package aqueduct.count;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;

/**
 * The windows of one key in a stream: what was counted, and which panes have fired. They accumulate. A pane fires ON_TIME
 * when the watermark reaches the end of its window, LATE when a part that was late on arrival changes it afterwards, and
 * EARLY when asked. A LATE pane waits until the watermark moves, so that it has all that was counted under the one before.
 *
 * <p>The watermark of the reader at which a part was counted decides whether it is late; that of the step which keeps the
 * windows follows it, and decides when panes fire.
 */
public abstract class Kept {
  /** Takes a pane that fires. */
  public interface Panes {
    void fire(long start, long end, Cells cells, Rows.Firing firing);
  }

  final Flow flow;

  Kept(Flow flow) {
    this.flow = flow;
  }

  public static Kept of(Flow flow) {
    return flow.windows() instanceof Windows.Sessions ? new KeptSessions(flow) : new KeptAligned(flow);
  }

  /** Adds what was counted in a slice. {@code passed}: the watermark then, if it had reached a window's end. */
  public abstract void add(long start, long floor, long passed, Cells cells);

  /** The watermark at which something is to be done; the end of time if nothing is. */
  public abstract long due();

  /** Fires what is due at a watermark, and forgets windows that are over. */
  public abstract void advance(long watermark, long now, Panes panes);

  /** Fires EARLY panes of the windows that changed and are not at their end. {@code at}: the watermark. */
  public abstract void early(long at, long now, Panes panes);

  public abstract boolean isEmpty();

  public abstract void write(DataOutput out) throws IOException;

  abstract void readFrom(DataInput in) throws IOException;

  /** What was saved of a key of this flow. */
  public static Kept read(Flow flow, DataInput in) throws IOException {
    Kept kept = of(flow);
    kept.readFrom(in);
    return kept;
  }
}
