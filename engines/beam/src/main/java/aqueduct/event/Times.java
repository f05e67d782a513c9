package aqueduct.event;

import java.time.LocalDate;
import java.time.YearMonth;
import java.time.ZoneOffset;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Points in time: milliseconds since the epoch. The two ends of time are the ends of a long. */
public final class Times {
  /** Before every event: the initial watermark. */
  public static final long MIN = Long.MIN_VALUE;
  /** After every event: the watermark at the end of the input. */
  public static final long MAX = Long.MAX_VALUE;
  /** The times that tables can hold: the years 1 to 9999. */
  public static final long FIRST = -62_135_596_800_000L;

  public static final long LAST = 253_402_300_799_999L;

  private static final long LOWEST = -377_705_023_201_000L;
  private static final long HIGHEST = 253_402_207_200_999L;

  /** RFC 3339, and the forms of ISO 8601 that docs/rejects.md lists. */
  private static final Pattern FORM = Pattern.compile(
      "(\\d{4})-(\\d\\d)-(\\d\\d)[Tt ](\\d\\d)(?:(?::(\\d\\d)(?::(\\d\\d)(?:([.,])(\\d+))?)?)|"
          + "(?:(\\d\\d)(?:(\\d\\d)(?:([.,])(\\d+))?)?))?"
          + "(?:[Zz]|([+-])(\\d\\d)(?::?(\\d\\d)(?::?(\\d\\d))?)?)(?:\\[!?[A-Za-z0-9_/+:=-]+\\])*");

  private Times() {}

  /** A time with its offset, to the millisecond; null if it is none. */
  public static Long parse(String text) {
    Matcher m = FORM.matcher(text);
    if (!m.matches()) {
      return null;
    }
    int year = Integer.parseInt(m.group(1));
    int month = Integer.parseInt(m.group(2));
    int day = Integer.parseInt(m.group(3));
    int hour = Integer.parseInt(m.group(4));
    int minute = number(m, 5, 9);
    int second = number(m, 6, 10);
    String separator = m.group(7) != null ? m.group(7) : m.group(11);
    String fraction = m.group(8) != null ? m.group(8) : m.group(12);
    if (month < 1 || month > 12 || day < 1 || day > YearMonth.of(year, month).lengthOfMonth()
        || hour > 23 || minute > 59 || second > 60 || ",".equals(separator) && fraction.length() > 9) {
      return null;
    }
    long millis = fraction == null ? 0 : Long.parseLong((fraction + "000").substring(0, 3));
    long seconds = LocalDate.of(year, month, day).toEpochDay() * 86_400 + hour * 3_600L + minute * 60L
        // A leap second is the second before it.
        + Math.min(second, 59);
    if (m.group(13) != null) {
      int hours = Integer.parseInt(m.group(14));
      int minutes = number(m, 15, 15);
      int rest = number(m, 16, 16);
      if (hours > 25 || minutes > 59 || rest > 59) {
        return null;
      }
      long offset = hours * 3_600L + minutes * 60L + rest;
      seconds += m.group(13).equals("-") ? offset : -offset;
    }
    return within(seconds * 1_000 + millis);
  }

  private static int number(Matcher m, int one, int other) {
    String text = m.group(one) != null ? m.group(one) : m.group(other);
    return text == null ? 0 : Integer.parseInt(text);
  }

  private static Long within(long millis) {
    return millis >= LOWEST && millis <= HIGHEST ? millis : null;
  }

  /** The time that a value contains; null if it contains none. */
  public static Long of(Value value) {
    if (value.kind() == Value.Kind.TEXT) {
      return parse(value.text());
    }
    if (value.kind() != Value.Kind.NUMBER) {
      return null;
    }
    Decimal decimal = Decimal.parse(value.text());
    if (decimal == null) {
      return null;
    }
    long millis = decimal.floor();
    Long time = within(millis);
    return time != null ? time : Long.valueOf(millis < 0 ? MIN : MAX);
  }

  /** A time plus a length; the ends of time stay where they are. */
  public static long plus(long time, long length) {
    long sum = time + length;
    return ((time ^ sum) & (length ^ sum)) < 0 ? (length < 0 ? MIN : MAX) : sum;
  }

  /** A time less a length; the ends of time stay where they are. */
  public static long minus(long time, long length) {
    return time == MAX ? MAX : plus(time, -length);
  }

  /** RFC 3339 in UTC with milliseconds, within what tables can hold. */
  public static String text(long time) {
    long millis = Math.max(FIRST, Math.min(LAST, time));
    var at = java.time.LocalDateTime.ofEpochSecond(
        Math.floorDiv(millis, 1_000), (int) Math.floorMod(millis, 1_000L) * 1_000_000, ZoneOffset.UTC);
    return String.format("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", at.getYear(), at.getMonthValue(), at.getDayOfMonth(),
        at.getHour(), at.getMinute(), at.getSecond(), at.getNano() / 1_000_000);
  }
}
