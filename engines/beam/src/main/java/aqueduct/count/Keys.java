package aqueduct.count;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The values of a row's by columns as bytes, as {@link Reader} encodes them. */
public final class Keys {
  private Keys() {}

  /** The values; null is NULL. */
  static List<byte[]> values(byte[] key) {
    List<byte[]> values = new ArrayList<>();
    DataInputStream in = new DataInputStream(new ByteArrayInputStream(key));
    try {
      while (in.available() > 0) {
        values.add(in.readBoolean() ? Codec.readBytes(in) : null);
      }
    } catch (IOException error) {
      throw new IllegalStateException("a key is whole", error);
    }
    return values;
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
