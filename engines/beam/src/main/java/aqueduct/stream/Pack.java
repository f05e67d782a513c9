package aqueduct.stream;

import com.github.luben.zstd.Zstd;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** One message for many records of a partition, in columns and compressed. The layout is that of crates/pubsub. */
final class Pack {
  /** A record of a pack. */
  record Packed(long offset, Long timestamp, byte[] event) {}

  /** The message is not a pack, or not a whole one. */
  static final class Damaged extends Exception {
    private static final long serialVersionUID = 1;
  }

  private static final int MOST_BYTES = 4 << 20;
  private static final int MOST_RECORDS = 10_000;
  private static final int COLUMNS = 6;
  private static final int TIMESTAMP = 1;
  private static final int KEY = 2;
  private static final int KEY_ID = 4;
  private static final int HEADERS = 8;

  private Pack() {}

  /** The offsets that an attribute names: runs, each as its distance from the one before and its length. */
  static long[] offsets(String text) throws Damaged {
    String[] numbers = text == null ? new String[0] : text.split(",", -1);
    long[] offsets = new long[MOST_RECORDS];
    int count = 0;
    long end = 0;
    if (numbers.length == 0 || numbers.length % 2 != 0) {
      throw new Damaged();
    }
    try {
      for (int n = 0; n < numbers.length; n += 2) {
        long gap = Long.parseLong(numbers[n]);
        long length = Long.parseLong(numbers[n + 1]);
        if (gap < 0 || gap == 0 && n > 0 || length <= 0 || length > MOST_RECORDS - count) {
          throw new Damaged();
        }
        long start = Math.addExact(end, gap);
        end = Math.addExact(start, length);
        for (long offset = start; offset < end; offset++) {
          offsets[count++] = offset;
        }
      }
    } catch (ArithmeticException | NumberFormatException error) {
      throw new Damaged();
    }
    return Arrays.copyOf(offsets, count);
  }

  /** The records of these offsets; everything is checked before the first is returned. */
  static List<Packed> records(long[] offsets, byte[] data) throws Damaged {
    byte[] contents = decompress(data);
    Column head = new Column(contents, 0, contents.length);
    if (head.size() != offsets.length) {
      throw new Damaged();
    }
    int names = head.size();
    for (int n = 0; n < names; n++) {
      head.skip(head.size());
    }
    int[] sizes = new int[COLUMNS];
    for (int n = 0; n < COLUMNS; n++) {
      sizes[n] = head.size();
    }
    Column[] columns = new Column[COLUMNS + 1];
    int at = head.at;
    for (int n = 0; n < COLUMNS; n++) {
      if (sizes[n] > contents.length - at) {
        throw new Damaged();
      }
      columns[n] = new Column(contents, at, at + sizes[n]);
      at += sizes[n];
    }
    columns[COLUMNS] = new Column(contents, at, contents.length);
    List<Packed> records = read(offsets, columns, names);
    for (Column column : columns) {
      if (column.at != column.end) {
        throw new Damaged();
      }
    }
    return records;
  }

  private static byte[] decompress(byte[] data) throws Damaged {
    // What the frame claims, before any memory is taken for it.
    long size = Zstd.getFrameContentSize(data);
    if (size <= 0 || size > MOST_BYTES) {
      throw new Damaged();
    }
    byte[] contents = new byte[(int) size];
    long done = Zstd.decompress(contents, data);
    if (Zstd.isError(done) || done != size) {
      throw new Damaged();
    }
    return contents;
  }

  private static List<Packed> read(long[] offsets, Column[] columns, int names) throws Damaged {
    List<Packed> records = new ArrayList<>(offsets.length);
    long timestamp = 0;
    for (long offset : offsets) {
      int flags = columns[0].next();
      if ((flags & ~(TIMESTAMP | KEY | KEY_ID | HEADERS)) != 0) {
        throw new Damaged();
      }
      if ((flags & TIMESTAMP) != 0) {
        long zigzag = columns[1].number();
        timestamp += zigzag >>> 1 ^ -(zigzag & 1);
      }
      if ((flags & KEY) != 0) {
        columns[2].skip(columns[2].size());
      }
      if ((flags & KEY_ID) != 0 && columns[3].size() >= names) {
        throw new Damaged();
      }
      if ((flags & HEADERS) != 0) {
        for (int left = columns[4].size(); left > 0; left--) {
          if (columns[4].size() >= names) {
            throw new Damaged();
          }
          columns[4].skip(columns[4].size());
        }
      }
      byte[] event = columns[COLUMNS].take(columns[5].size());
      records.add(new Packed(offset, (flags & TIMESTAMP) != 0 ? Long.valueOf(timestamp) : null, event));
    }
    return records;
  }

  /** A part of the contents that is read from its start to its end. */
  private static final class Column {
    final byte[] contents;
    int at;
    final int end;

    Column(byte[] contents, int at, int end) {
      this.contents = contents;
      this.at = at;
      this.end = end;
    }

    int next() throws Damaged {
      if (at == end) {
        throw new Damaged();
      }
      return contents[at++];
    }

    long number() throws Damaged {
      long number = 0;
      for (int shift = 0; shift < 64; shift += 7) {
        int next = next();
        number |= (long) (next & 0x7f) << shift;
        if (next >= 0) {
          return number;
        }
      }
      throw new Damaged();
    }

    int size() throws Damaged {
      long size = number();
      if (size < 0 || size > MOST_BYTES) {
        throw new Damaged();
      }
      return (int) size;
    }

    void skip(int bytes) throws Damaged {
      if (bytes > end - at) {
        throw new Damaged();
      }
      at += bytes;
    }

    byte[] take(int bytes) throws Damaged {
      skip(bytes);
      return Arrays.copyOfRange(contents, at - bytes, at);
    }
  }
}
