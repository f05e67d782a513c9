package aqueduct.count;

import aqueduct.event.Times;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Sessions of one key. An event opens the window from its time to its time plus the gap, and windows that overlap are
 * merged; their panes are counted together, so that a pane has a higher index than all panes that it replaces. A session
 * that has fired and is extended past the watermark is open again: an EARLY pane says so.
 */
final class KeptSessions extends Kept {
  private static final class Session {
    long start;
    long end;
    Cells cells;
    long panes;
    boolean isOver;
    /** Whether the newest pane is wrong, so that another one is due at once; and whether it changed since the last one. */
    boolean isStale;
    boolean hasChanged;
    boolean wasOnTime;
  }

  private final long gap;
  private final List<Session> sessions = new ArrayList<>(1);
  /** The highest watermark that a part or a call has mentioned. */
  private long watermark = Times.MIN;

  KeptSessions(Flow flow) {
    super(flow);
    gap = ((Windows.Sessions) flow.windows()).gap();
  }

  @Override
  public void add(long time, long floor, long passed, Cells cells) {
    watermark = Math.max(watermark, passed);
    Session merged = new Session();
    merged.start = time;
    merged.end = time + gap;
    merged.cells = new Cells(flow);
    merged.cells.merge(cells);
    merged.wasOnTime = merged.end > passed;
    merged.hasChanged = true;
    boolean isReopened = false;
    for (Session other : List.copyOf(sessions)) {
      if (other.start < time + gap && time < other.end) {
        sessions.remove(other);
        isReopened |= other.panes > 0 && (other.isStale || other.isOver);
        merged.start = Math.min(merged.start, other.start);
        merged.end = Math.max(merged.end, other.end);
        merged.cells.merge(other.cells);
        merged.panes += other.panes;
        merged.wasOnTime |= other.wasOnTime && !other.isOver;
        merged.isOver |= other.isOver && other.end == merged.end;
      }
    }
    merged.isOver &= merged.end <= watermark;
    merged.isStale = isReopened || merged.end <= watermark;
    sessions.add(merged);
    sessions.sort(Comparator.comparingLong(session -> session.start));
  }

  @Override
  public long due() {
    long due = Times.MAX;
    for (Session session : sessions) {
      if (session.isStale) {
        due = Math.min(due, Times.plus(watermark, 1));
      }
      if (session.isOver) {
        due = Math.min(due, Times.plus(session.end, Times.plus(gap, flow.allowedLateness())));
      } else if (session.wasOnTime) {
        due = Math.min(due, session.end);
      }
    }
    return due;
  }

  @Override
  public void advance(long to, long now, Panes panes) {
    List<Session> byEnd = new ArrayList<>(sessions);
    byEnd.sort(Comparator.comparingLong(session -> session.end));
    // What was late has changed under the watermark before.
    for (Session session : byEnd) {
      boolean isOpen = session.end > watermark;
      if (session.isStale && (isOpen || session.isOver || !session.wasOnTime)) {
        session.isOver = !isOpen;
        fire(session, isOpen ? "EARLY" : "LATE", watermark, now, panes);
      }
    }
    watermark = Math.max(watermark, to);
    for (Session session : byEnd) {
      if (!session.isOver && session.end <= to) {
        session.isOver = true;
        fire(session, "ON_TIME", to, now, panes);
      }
    }
    sessions.removeIf(session -> session.isOver
        && Times.plus(session.end, Times.plus(gap, flow.allowedLateness())) <= to);
  }

  @Override
  public void early(long at, long now, Panes panes) {
    for (Session session : sessions) {
      if (!session.isOver && !session.isStale && session.hasChanged) {
        fire(session, "EARLY", at, now, panes);
      }
    }
  }

  private void fire(Session session, String pane, long at, long now, Panes panes) {
    session.hasChanged = false;
    session.isStale = false;
    Cells cells = new Cells(flow);
    cells.merge(session.cells);
    panes.fire(session.start, session.end, cells, new Rows.Firing(pane, session.panes++, at, now));
  }

  @Override
  public boolean isEmpty() {
    return sessions.isEmpty();
  }

  @Override
  public void write(DataOutput out) throws IOException {
    Codec.writeLong(out, watermark);
    Codec.writeLong(out, sessions.size());
    for (Session session : sessions) {
      Codec.writeLong(out, session.start);
      Codec.writeLong(out, session.end);
      session.cells.write(out);
      Codec.writeLong(out, session.panes);
      out.writeByte((session.isOver ? 1 : 0) | (session.isStale ? 2 : 0) | (session.hasChanged ? 4 : 0)
          | (session.wasOnTime ? 8 : 0));
    }
  }

  @Override
  void readFrom(DataInput in) throws IOException {
    watermark = Codec.readLong(in);
    for (long left = Codec.readLong(in); left > 0; left--) {
      Session session = new Session();
      session.start = Codec.readLong(in);
      session.end = Codec.readLong(in);
      session.cells = Cells.read(flow, in);
      session.panes = Codec.readLong(in);
      int bits = in.readByte();
      session.isOver = (bits & 1) != 0;
      session.isStale = (bits & 2) != 0;
      session.hasChanged = (bits & 4) != 0;
      session.wasOnTime = (bits & 8) != 0;
      sessions.add(session);
    }
  }
}
