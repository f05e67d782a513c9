package aqueduct.event;

import java.math.BigDecimal;
import java.math.BigInteger;

/**
 * A JSON number by its exact decimal value: 0.DIGITS times 10^point. 1, 1.0 and 10e-1 are equal; 1234567890123456789 and
 * 1234567890123456790 are not, as they would be as doubles.
 */
public record Decimal(boolean negative, long point, String digits) {
  /** Digits after the point of a measure. */
  public static final int SCALE = 9;

  private static final int DIGITS = 29;

  /** The value of a number in JSON's notation; null if it is none, or its exponent does not fit into 64 bits. */
  public static Decimal parse(String number) {
    boolean negative = number.startsWith("-");
    String unsigned = negative ? number.substring(1) : number;
    int e = Math.max(unsigned.indexOf('e'), unsigned.indexOf('E'));
    String mantissa = e < 0 ? unsigned : unsigned.substring(0, e);
    int dot = mantissa.indexOf('.');
    String whole = dot < 0 ? mantissa : mantissa.substring(0, dot);
    String all = dot < 0 ? mantissa : whole + mantissa.substring(dot + 1);
    if (whole.isEmpty() || !all.chars().allMatch(c -> c >= '0' && c <= '9')) {
      return null;
    }
    int start = 0;
    int end = all.length();
    while (start < end && all.charAt(start) == '0') {
      start++;
    }
    while (end > start && all.charAt(end - 1) == '0') {
      end--;
    }
    if (start == end) {
      return new Decimal(false, 0, "");
    }
    try {
      long exponent = e < 0 ? 0 : Long.parseLong(unsigned.substring(e + 1));
      long point = Math.addExact(exponent, (long) whole.length() - start);
      return new Decimal(negative, point, all.substring(start, end));
    } catch (ArithmeticException | NumberFormatException error) {
      return null;
    }
  }

  /** The largest whole number that is not greater, as far as 64 bits reach. */
  public long floor() {
    int place = (int) Math.max(0, Math.min(20, point));
    String whole = digits.substring(0, Math.min(place, digits.length()));
    String rest = digits.substring(whole.length());
    String magnitude = "0" + whole + "0".repeat(whole.isEmpty() ? 0 : place - whole.length());
    try {
      long value = Long.parseLong(magnitude);
      return negative ? -value - (rest.isEmpty() ? 0 : 1) : value;
    } catch (NumberFormatException error) {
      return negative ? Long.MIN_VALUE : Long.MAX_VALUE;
    }
  }

  /** The value of a number in billionths; null if it has a tenth digit after the point or more than 29 before it. */
  public static BigInteger billionths(String number) {
    Decimal decimal = parse(number);
    if (decimal == null || decimal.point > DIGITS || decimal.digits.length() - decimal.point > SCALE) {
      return null;
    }
    if (decimal.digits.isEmpty()) {
      return BigInteger.ZERO;
    }
    int zeros = (int) (SCALE + decimal.point - decimal.digits.length());
    BigInteger value = new BigInteger(decimal.digits).multiply(BigInteger.TEN.pow(zeros));
    return decimal.negative ? value.negate() : value;
  }

  /** Billionths as text, without an exponent and without zeros at the end. */
  public static String text(BigInteger billionths) {
    return billionths.signum() == 0 ? "0" : new BigDecimal(billionths, SCALE).stripTrailingZeros().toPlainString();
  }
}
