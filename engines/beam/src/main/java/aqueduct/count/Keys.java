package aqueduct.count;

import aqueduct.event.Value;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The values of a row's by columns as bytes: two keys are equal if their bytes are. */
public final class Keys {
  private Keys() {}

  /** The values in these slots: for each the number of its bytes plus one, or 0 for NULL, and its bytes. */
  static byte[] of(Value[] values, int[] slots) {
    byte[][] texts = new byte[slots.length][];
    int length = 0;
    for (int n = 0; n < slots.length; n++) {
      String text = values[slots[n]].scalar();
      texts[n] = text == null ? null : text.getBytes(StandardCharsets.UTF_8);
      length += text == null ? 1 : texts[n].length + 5;
    }
    ByteBuffer key = ByteBuffer.allocate(length);
    for (byte[] text : texts) {
      int rest = text == null ? 0 : text.length + 1;
      for (; rest > 0x7F; rest >>>= 7) {
        key.put((byte) (rest & 0x7F | 0x80));
      }
      key.put((byte) rest);
      if (text != null) {
        key.put(text);
      }
    }
    return Arrays.copyOf(key.array(), key.position());
  }

  /** The values; null is NULL. */
  static List<byte[]> values(byte[] key) {
    List<byte[]> values = new ArrayList<>();
    for (int at = 0; at < key.length; ) {
      int length = 0;
      int shift = 0;
      byte next;
      do {
        next = key[at++];
        length |= (next & 0x7F) << shift;
        shift += 7;
      } while (next < 0);
      values.add(length == 0 ? null : Arrays.copyOfRange(key, at, at + length - 1));
      at += Math.max(0, length - 1);
    }
    return values;
  }

  /** The values as text; null is NULL. */
  static List<String> texts(byte[] key) {
    List<String> texts = new ArrayList<>();
    values(key).forEach(value -> texts.add(value == null ? null : new String(value, StandardCharsets.UTF_8)));
    return texts;
  }

  /** In the order of the columns: NULL first, then by the bytes of the text. */
  static int compare(byte[] one, byte[] other) {
    List<byte[]> a = values(one);
    List<byte[]> b = values(other);
    for (int n = 0; n < a.size(); n++) {
      int order = a.get(n) == null || b.get(n) == null
          ? Boolean.compare(a.get(n) != null, b.get(n) != null) : Arrays.compareUnsigned(a.get(n), b.get(n));
      if (order != 0) {
        return order;
      }
    }
    return 0;
  }
}
