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
    Long plain = plain(text);
    return plain != null ? plain : general(text);
  }

  /** The form that most producers write, in UTC with milliseconds or none; null where the text has another form. */
  private static Long plain(String text) {
    int length = text.length();
    if (length != 20 && length != 24 || text.charAt(length - 1) != 'Z' || text.charAt(10) != 'T'
        || length == 24 && text.charAt(19) != '.') {
      return null;
    }
    int year = digits(text, 0, 4);
    int month = digits(text, 5, 7);
    int day = digits(text, 8, 10);
    int hour = digits(text, 11, 13);
    int minute = digits(text, 14, 16);
    int second = digits(text, 17, 19);
    int millis = length == 24 ? digits(text, 20, 23) : 0;
    boolean isPlain = (year | month | day | hour | minute | second | millis) >= 0 && text.charAt(4) == '-'
        && text.charAt(7) == '-' && text.charAt(13) == ':' && text.charAt(16) == ':' && month > 0 && month < 13 && day > 0
        && day < 29 && hour < 24 && minute < 60 && second < 60;
    return isPlain ? within((((epochDay(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + millis) : null;
  }

  private static int digits(String text, int from, int to) {
    int value = 0;
    for (int at = from; at < to; at++) {
      int digit = text.charAt(at) - '0';
      if (digit < 0 || digit > 9) {
        return -1;
      }
      value = value * 10 + digit;
    }
    return value;
  }

  private static long epochDay(int year, int month, int day) {
    return LocalDate.of(year, month, day).toEpochDay();
  }

  private static Long general(String text) {
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
    long seconds = epochDay(year, month, day) * 86_400 + hour * 3_600L + minute * 60L
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
    char[] out = "0000-00-00T00:00:00.000Z".toCharArray();
    put(out, 3, at.getYear());
    put(out, 6, at.getMonthValue());
    put(out, 9, at.getDayOfMonth());
    put(out, 12, at.getHour());
    put(out, 15, at.getMinute());
    put(out, 18, at.getSecond());
    put(out, 22, at.getNano() / 1_000_000);
    return new String(out);
  }

  /** Writes a number whose last digit is at this place. */
  private static void put(char[] out, int last, int number) {
    for (int at = last, rest = number; rest > 0; at--, rest /= 10) {
      out[at] = (char) ('0' + rest % 10);
    }
  }
}
