package aqueduct.frontier;

import aqueduct.event.Times;

/**
 * Whether the subscriptions are read up to the present, from the age of new messages and from marks. The frontier takes no
 * part in it: a hole would hold back the very clock that ends it.
 */
public final class CaughtUp {
  private static final long FEW_SECONDS = 5_000;

  private long lastOld;
  private long lastMark = Times.MIN;

  public CaughtUp(long now) {
    lastOld = now;
  }

  /** A message that arrived for the first time. */
  public void firstSeen(long published, long now) {
    if (Times.plus(published, FEW_SECONDS) < now) {
      lastOld = Math.max(lastOld, now);
    }
  }

  /** A mark. After a silence a current one may overtake the events that waited with it. */
  public void mark(long published, long now) {
    firstSeen(published, now);
    if (now > Times.plus(lastMark, FEW_SECONDS)) {
      lastOld = Math.max(lastOld, now);
    }
    if (Times.plus(published, FEW_SECONDS) >= now) {
      lastMark = Math.max(lastMark, now);
    }
  }

  public boolean is(long now) {
    return now >= Times.plus(lastOld, FEW_SECONDS) && now <= Times.plus(lastMark, FEW_SECONDS);
  }
}
