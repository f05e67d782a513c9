package aqueduct.count;

import aqueduct.event.Times;
import java.time.DayOfWeek;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneId;
import java.time.temporal.TemporalAdjusters;

/** How windows cover time. All but sessions are made of slices that no window cuts. */
public sealed interface Windows {
  /** The most windows that an event may fall into, and the most slices of a window. */
  long MAX_OVERLAP = 1_440;

  long MAX_SLICES = 100_000;

  /** A window: [start, end). */
  record Window(long start, long end) {}

  interface Visitor {
    void window(long start, long end);
  }

  /** No window of one event is longer. */
  long longest();

  /** No window is shorter. */
  long shortest();

  /** The start of the slice that holds a time; of a session, the time. */
  long slice(long time);

  /** The end of the last window that begins at or before a time. */
  long lastEnd(long time);

  /** The windows that hold a time, the earliest first; none between two windows. */
  void holding(long time, Visitor visitor);

  /** What happens to an event of this time when windows that end at or before {@code closed} are over. */
  default Fate fate(long time, long closed) {
    long end = lastEnd(time);
    if (end <= time) {
      return end > closed ? Fate.BETWEEN_OPEN : Fate.BETWEEN;
    }
    return end > closed ? Fate.COUNTED : Fate.LATE;
  }

  /** Whether an event finds a window that still takes it. BETWEEN: it lies between two windows. */
  enum Fate { COUNTED, LATE, BETWEEN_OPEN, BETWEEN }

  /** Windows of one size that begin every period. */
  record Sliding(long size, long period, long slice) implements Windows {
    public static Sliding of(long size, long period) {
      return new Sliding(size, period, gcd(size, period));
    }

    private static long gcd(long a, long b) {
      return b == 0 ? a : gcd(b, a % b);
    }

    @Override
    public long longest() {
      return size;
    }

    @Override
    public long shortest() {
      return size;
    }

    @Override
    public long slice(long time) {
      return time - Math.floorMod(time, slice);
    }

    @Override
    public long lastEnd(long time) {
      return time - Math.floorMod(time, period) + size;
    }

    @Override
    public void holding(long time, Visitor visitor) {
      long last = time - Math.floorMod(time, period);
      // The smallest k with last - k * period > time - size.
      long count = Math.max(0, Math.floorDiv(last - (time - size) + period - 1, period));
      for (long k = count - 1; k >= 0; k--) {
        visitor.window(last - k * period, last - k * period + size);
      }
    }
  }

  /** Days, weeks and months of a time zone. */
  record Calendar(Unit unit, ZoneId zone) implements Windows {
    public enum Unit { DAY, WEEK, MONTH }

    private static final long HOUR = 3_600_000;

    @Override
    public long longest() {
      return length(2, 8, 32) * 24 * HOUR;
    }

    @Override
    public long shortest() {
      return (length(1, 7, 28) * 24 - 1) * HOUR;
    }

    private long length(long day, long week, long month) {
      return switch (unit) {
        case DAY -> day;
        case WEEK -> week;
        case MONTH -> month;
      };
    }

    @Override
    public long slice(long time) {
      return window(time).start();
    }

    @Override
    public long lastEnd(long time) {
      return window(time).end();
    }

    @Override
    public void holding(long time, Visitor visitor) {
      Window window = window(time);
      visitor.window(window.start(), window.end());
    }

    Window window(long time) {
      long bounded = Math.max(Times.FIRST, Math.min(Times.LAST, time));
      LocalDate first = first(Instant.ofEpochMilli(bounded).atZone(zone).toLocalDate());
      // Where the clock goes back over midnight, the date of a time may be the one before its window's.
      while (midnight(next(first)) <= time) {
        first = next(first);
      }
      while (midnight(first) > time) {
        first = first(first.minusDays(1));
      }
      return new Window(midnight(first), midnight(next(first)));
    }

    private LocalDate first(LocalDate date) {
      return switch (unit) {
        case DAY -> date;
        case WEEK -> date.with(TemporalAdjusters.previousOrSame(DayOfWeek.MONDAY));
        case MONTH -> date.withDayOfMonth(1);
      };
    }

    private LocalDate next(LocalDate first) {
      return switch (unit) {
        case DAY -> first.plusDays(1);
        case WEEK -> first.plusWeeks(1);
        case MONTH -> first.plusMonths(1);
      };
    }

    private long midnight(LocalDate date) {
      return date.atStartOfDay(zone).toInstant().toEpochMilli();
    }
  }

  /** For each key, events with less than the gap between them. */
  record Sessions(long gap) implements Windows {
    @Override
    public long longest() {
      return gap;
    }

    @Override
    public long shortest() {
      return gap;
    }

    @Override
    public long slice(long time) {
      return time;
    }

    @Override
    public long lastEnd(long time) {
      return Times.plus(time, gap);
    }

    @Override
    public void holding(long time, Visitor visitor) {
      visitor.window(time, time + gap);
    }
  }
}
