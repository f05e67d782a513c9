package aqueduct.count;

import com.fasterxml.jackson.core.io.schubfach.DoubleToDecimal;
import java.math.BigDecimal;

/** Doubles by the shortest digits that read back as the same double. Java 17's own text may have one digit too many. */
public final class Doubles {
  private static final double Z = 1.959_963_984_540_054;

  private Doubles() {}

  /** The shortest decimal of a finite double. */
  public static BigDecimal shortest(double number) {
    return new BigDecimal(DoubleToDecimal.toString(number)).stripTrailingZeros();
  }

  /** As the Rust programs write it in JSON. */
  public static String json(double number) {
    if (number == 0) {
      return 1 / number < 0 ? "-0.0" : "0.0";
    }
    BigDecimal decimal = shortest(number);
    int exponent = decimal.precision() - decimal.scale() - 1;
    if (exponent >= -5 && exponent <= 15) {
      String plain = decimal.toPlainString();
      return plain.indexOf('.') < 0 ? plain + ".0" : plain;
    }
    String digits = decimal.unscaledValue().abs().toString();
    String point = digits.length() > 1 ? "." : "";
    return (number < 0 ? "-" : "") + digits.charAt(0) + point + digits.substring(1)
        + (exponent < 0 ? "e-" : "e+") + Math.abs(exponent);
  }

  /** A rate; null if there is nothing to divide by. */
  public static Double rate(double of, double over) {
    // Adding 0 turns a negative zero into zero.
    return over == 0 ? null : Double.valueOf(of / over + 0.0);
  }

  /** Wilson's score interval at 95 %; null without trials or with more successes than trials. */
  public static double[] interval(long successes, long trials) {
    if (trials == 0 || successes > trials) {
      return null;
    }
    double n = trials;
    double p = successes / n;
    double z2 = Z * Z;
    double centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    double half = Z / (1.0 + z2 / n) * Math.sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n));
    double low = successes == 0 ? 0.0 : Math.max(centre - half, 0.0);
    double high = successes == trials ? 1.0 : Math.min(centre + half, 1.0);
    return new double[] {low, high};
  }
}
