package aqueduct.count;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;

/** The encoding of what passes between the steps of a pipeline: numbers take few bytes, and nothing is reflected upon. */
public final class Codec {
  private Codec() {}

  /** A number with its sign in the lowest bit, seven bits a byte. */
  public static void writeLong(DataOutput out, long number) throws IOException {
    long rest = number << 1 ^ number >> 63;
    while ((rest & ~0x7FL) != 0) {
      out.writeByte((int) (rest & 0x7F | 0x80));
      rest >>>= 7;
    }
    out.writeByte((int) rest);
  }

  public static long readLong(DataInput in) throws IOException {
    long rest = 0;
    for (int shift = 0; ; shift += 7) {
      byte next = in.readByte();
      rest |= (long) (next & 0x7F) << shift;
      if (next >= 0) {
        return rest >>> 1 ^ -(rest & 1);
      }
    }
  }

  /** A number that may be missing. */
  public static void writeOptional(DataOutput out, Long number) throws IOException {
    out.writeBoolean(number != null);
    if (number != null) {
      writeLong(out, number);
    }
  }

  public static Long readOptional(DataInput in) throws IOException {
    return in.readBoolean() ? Long.valueOf(readLong(in)) : null;
  }

  public static void writeBytes(DataOutput out, byte[] bytes) throws IOException {
    writeLong(out, bytes.length);
    out.write(bytes);
  }

  public static byte[] readBytes(DataInput in) throws IOException {
    byte[] bytes = new byte[(int) readLong(in)];
    in.readFully(bytes);
    return bytes;
  }

  public static void writeText(DataOutput out, String text) throws IOException {
    writeBytes(out, text.getBytes(StandardCharsets.UTF_8));
  }

  public static String readText(DataInput in) throws IOException {
    return new String(readBytes(in), StandardCharsets.UTF_8);
  }

  /** The input of a measure: a number in billionths, or the hash of a value. */
  static void writeInput(DataOutput out, Object input) throws IOException {
    out.writeBoolean(input instanceof Long);
    if (input instanceof Long hash) {
      out.writeLong(hash);
    } else {
      writeBytes(out, ((BigInteger) input).toByteArray());
    }
  }

  static Object readInput(DataInput in) throws IOException {
    return in.readBoolean() ? (Object) in.readLong() : new BigInteger(readBytes(in));
  }

  public static void writeInputs(DataOutput out, Object[] inputs) throws IOException {
    writeLong(out, inputs.length);
    for (Object input : inputs) {
      writeInput(out, input);
    }
  }

  public static Object[] readInputs(DataInput in) throws IOException {
    Object[] inputs = new Object[(int) readLong(in)];
    for (int n = 0; n < inputs.length; n++) {
      inputs[n] = readInput(in);
    }
    return inputs;
  }
}
