package aqueduct.count;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * A row of a table as JSON, with what a sink needs to place it.
 *
 * @param flow the number of the flow; -1 for a dead letter
 * @param key the by columns, as {@link Keys} has them; empty for other rows than those of a flow
 * @param index the number of the pane, by which a newer row replaces an older one
 * @param pane EARLY, ON_TIME or LATE; empty for other rows than those of a flow
 */
public record Line(Table table, int flow, byte[] key, long index, String pane, String json) {
  /** The tables: one of rows and one of progress for each flow, and one of dead letters. */
  public enum Table { ROWS, PROGRESS, DEAD_LETTERS }

  private static final int LONGEST = 1_024;

  /** The ordering key of a message: a table and the by columns as a JSON array. */
  public String orderingKey(String name) {
    List<String> values = new ArrayList<>(List.of(name));
    values.addAll(Keys.texts(key));
    String text = array(values);
    return isLong(text) ? array(List.of(name, hash(text))) : text;
  }

  /** The by columns as a column of its own, which is never NULL. */
  public String rowKey() {
    String text = array(Keys.texts(key));
    return isLong(text) ? hash(text) : text;
  }

  private static boolean isLong(String text) {
    return text.getBytes(StandardCharsets.UTF_8).length > LONGEST;
  }

  private static String array(List<String> values) {
    return "[" + String.join(",", values.stream().map(value -> value == null ? "null" : Rows.quoted(value)).toList()) + "]";
  }

  private static String hash(String text) {
    try {
      byte[] bytes = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
      return "sha256:" + HexFormat.of().formatHex(bytes);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException("every Java has SHA-256", error);
    }
  }
}
