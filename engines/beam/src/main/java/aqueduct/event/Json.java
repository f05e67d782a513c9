package aqueduct.event;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Reads several fields of an event in one pass over its text, as strictly as the Rust scanner: RFC 8259 without lone
 * surrogates and with at most 128 levels. Of duplicate member names the first one counts, and numbers keep their digits.
 */
public final class Json {
  /** Why bytes are not a JSON object: the stable code of a reject. */
  public static final class Bad extends Exception {
    public Bad(String code) {
      super(code, null, false, false);
    }
  }

  private static final int MAX_DEPTH = 128;

  private final String text;
  private final Value[] out;
  private final boolean[] seen;
  private int at;
  private int depth;

  private Json(String text, Pointers pointers) {
    this.text = text;
    this.out = new Value[pointers.size()];
    this.seen = new boolean[pointers.nodes()];
    Arrays.fill(out, Value.MISSING);
  }

  /** The value at each pointer, in their order. */
  public static Value[] pick(byte[] payload, Pointers pointers) throws Bad {
    Json json = new Json(decode(payload), pointers);
    if (json.peek() == '\uFEFF') {
      json.at++;
    }
    json.skipSpace();
    boolean isObject = json.peek() == '{';
    json.value(isObject ? pointers.root() : null);
    json.skipSpace();
    if (json.at < json.text.length()) {
      throw new Bad("trailing-data");
    }
    if (!isObject) {
      throw new Bad("not-an-object");
    }
    return json.out;
  }

  private static String decode(byte[] payload) throws Bad {
    String text = new String(payload, StandardCharsets.UTF_8);
    // Only a text with a replacement character can have been repaired.
    if (text.indexOf('\uFFFD') >= 0) {
      try {
        StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(payload));
      } catch (CharacterCodingException error) {
        throw new Bad("invalid-utf8");
      }
    }
    return text;
  }

  /** Reads a value, for a node or for none. */
  private void value(Pointers.Node node) throws Bad {
    Pointers.Node wanted = node;
    if (node != null) {
      wanted = seen[node.number] ? null : node;
      seen[node.number] = true;
    }
    skipSpace();
    int start = at;
    switch (peek()) {
      case '{' -> {
        put(wanted, Value.OBJECT);
        members(wanted);
      }
      case '[' -> {
        put(wanted, Value.ARRAY);
        elements(wanted);
      }
      case '"' -> {
        String string = string(wanted != null && wanted.ends.length > 0);
        put(wanted, string == null ? null : Value.text(string));
      }
      case 't' -> word("true", wanted, Value.TRUE);
      case 'f' -> word("false", wanted, Value.FALSE);
      case 'n' -> word("null", wanted, Value.NULL);
      default -> {
        number();
        if (wanted != null && wanted.ends.length > 0) {
          put(wanted, Value.number(text.substring(start, at)));
        }
      }
    }
  }

  private void put(Pointers.Node node, Value value) {
    if (node != null) {
      for (int end : node.ends) {
        out[end] = value;
      }
    }
  }

  private void members(Pointers.Node node) throws Bad {
    open();
    for (boolean first = true; more('}', first); first = false) {
      if (peek() != '"') {
        throw new Bad("not-json");
      }
      String name = string(node != null);
      skipSpace();
      expect(':');
      value(node == null ? null : node.children.get(name));
    }
  }

  private void elements(Pointers.Node node) throws Bad {
    open();
    int index = 0;
    for (boolean first = true; more(']', first); first = false) {
      value(node == null || !node.hasIndex ? null : node.children.get(Integer.toString(index)));
      index++;
    }
  }

  private void open() throws Bad {
    if (depth == MAX_DEPTH) {
      throw new Bad("too-deep");
    }
    at++;
    depth++;
  }

  private boolean more(char close, boolean first) throws Bad {
    skipSpace();
    if (peek() == close) {
      at++;
      depth--;
      return false;
    }
    if (!first) {
      expect(',');
      skipSpace();
    }
    return true;
  }

  private void expect(char wanted) throws Bad {
    if (peek() != wanted) {
      throw new Bad("not-json");
    }
    at++;
  }

  private void word(String word, Pointers.Node node, Value value) throws Bad {
    if (!text.startsWith(word, at)) {
      throw new Bad("not-json");
    }
    at += word.length();
    put(node, value);
  }

  private void number() throws Bad {
    if (peek() == '-') {
      at++;
    }
    if (peek() == '0') {
      at++;
    } else {
      digits();
    }
    if (peek() == '.') {
      at++;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      at++;
      if (peek() == '+' || peek() == '-') {
        at++;
      }
      digits();
    }
  }

  private void digits() throws Bad {
    int start = at;
    while (peek() >= '0' && peek() <= '9') {
      at++;
    }
    if (at == start) {
      throw new Bad("not-json");
    }
  }

  /** Reads a string; its decoded text, or null if it is not wanted. */
  private String string(boolean wanted) throws Bad {
    int start = ++at;
    StringBuilder plain = null;
    while (true) {
      if (at >= text.length()) {
        throw new Bad("not-json");
      }
      char c = text.charAt(at);
      if (c == '"') {
        String end = wanted ? text.substring(start, at) : null;
        at++;
        return plain == null ? end : wanted ? plain.append(end).toString() : null;
      }
      if (c < 0x20) {
        throw new Bad("not-json");
      }
      at++;
      if (c == '\\') {
        if (plain == null) {
          plain = new StringBuilder();
        }
        plain.append(text, start, at - 1);
        escape(plain);
        start = at;
      }
    }
  }

  private void escape(StringBuilder plain) throws Bad {
    char c = peek();
    at++;
    switch (c) {
      case '"', '\\', '/' -> plain.append(c);
      case 'b' -> plain.append('\b');
      case 'f' -> plain.append('\f');
      case 'n' -> plain.append('\n');
      case 'r' -> plain.append('\r');
      case 't' -> plain.append('\t');
      case 'u' -> {
        char unit = unit();
        plain.append(unit);
        if (Character.isLowSurrogate(unit)) {
          throw new Bad("lone-surrogate");
        }
        if (Character.isHighSurrogate(unit)) {
          plain.append(pair());
        }
      }
      default -> throw new Bad("not-json");
    }
  }

  private char pair() throws Bad {
    if (text.startsWith("\\u", at)) {
      at += 2;
      try {
        char low = unit();
        if (Character.isLowSurrogate(low)) {
          return low;
        }
      } catch (Bad error) {
        throw new Bad("lone-surrogate");
      }
    }
    throw new Bad("lone-surrogate");
  }

  private char unit() throws Bad {
    int unit = 0;
    for (int n = 0; n < 4; n++) {
      char c = peek();
      int digit = c < 128 ? Character.digit(c, 16) : -1;
      if (digit < 0) {
        throw new Bad("not-json");
      }
      unit = unit * 16 + digit;
      at++;
    }
    return (char) unit;
  }

  private void skipSpace() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t') {
      at++;
    }
  }

  /** The next character; NUL, which JSON allows nowhere, at the end. */
  private char peek() {
    return at < text.length() ? text.charAt(at) : 0;
  }
}
