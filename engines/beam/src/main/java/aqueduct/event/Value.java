package aqueduct.event;

/** The value that a pointer leads to. Texts are decoded; a number is as it was written. */
public record Value(Kind kind, String text) {
  public enum Kind { MISSING, NULL, BOOL, NUMBER, TEXT, ARRAY, OBJECT }

  public static final Value MISSING = new Value(Kind.MISSING, null);
  public static final Value NULL = new Value(Kind.NULL, null);
  public static final Value TRUE = new Value(Kind.BOOL, "true");
  public static final Value FALSE = new Value(Kind.BOOL, "false");
  public static final Value ARRAY = new Value(Kind.ARRAY, null);
  public static final Value OBJECT = new Value(Kind.OBJECT, null);

  static Value text(String text) {
    return new Value(Kind.TEXT, text);
  }

  static Value number(String text) {
    return new Value(Kind.NUMBER, text);
  }

  /** A string as it is, a number or boolean as its JSON text; null for everything else. */
  public String scalar() {
    return text;
  }

  public boolean isAbsent() {
    return kind == Kind.MISSING || kind == Kind.NULL;
  }

  public boolean isContainer() {
    return kind == Kind.ARRAY || kind == Kind.OBJECT;
  }
}
