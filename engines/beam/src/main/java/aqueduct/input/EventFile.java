package aqueduct.input;

import aqueduct.count.Reader;
import aqueduct.count.Reader.Digest;
import aqueduct.event.Json;
import aqueduct.event.Times;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * One file of anonymised events as lines of JSON, plain or compressed with gzip. An event that is far ahead of its
 * neighbours is refused as in the future, because a file has no Kafka timestamps that would show it.
 */
final class EventFile implements AutoCloseable {
  /** A line: a digest, or the reason why there is none. */
  record Line(long number, Digest digest, String reason) {}

  /** The largest event and the longest line, as the connector accepts them. */
  private static final int MOST_EVENT = 10_000_000 - 512 - 3 * 1_024;

  private static final int MOST_LINE = 40_000_000;
  /** How many following events decide whether one is in the future, and how many of them must be far older. */
  private static final int FOLLOWING = 16;

  private static final int FAR_BEHIND = 12;
  private static final int BUFFER = 1 << 18;

  final String topic;
  final String name;
  private final InputStream in;
  private final Reader reader;
  private final long now;
  private final long future;
  private final long late;
  private final ArrayDeque<Line> peeked = new ArrayDeque<>();
  private final ByteArrayOutputStream line = new ByteArrayOutputStream();
  private final byte[] buffer = new byte[BUFFER];
  private int at;
  private int end;
  private long highest = Times.MIN;
  private long number;

  /** {@code late}: an event that is this much older than another is late in every flow. */
  EventFile(String topic, String name, Reader reader, long now, long future, long late) throws IOException {
    this.topic = topic;
    this.name = name;
    this.reader = reader;
    this.now = now;
    this.future = future;
    this.late = late;
    in = open(name);
  }

  private static InputStream open(String name) throws IOException {
    BufferedInputStream in = new BufferedInputStream(Files.newInputStream(Path.of(name)), BUFFER);
    in.mark(4);
    byte[] magic = in.readNBytes(4);
    in.reset();
    if (Arrays.equals(magic, new byte[] {0x28, (byte) 0xb5, 0x2f, (byte) 0xfd}) || name.endsWith(".zst")) {
      throw new IOException("this engine does not read Zstandard; decompress it first, or compress it with gzip");
    }
    if (Arrays.equals(magic, new byte[] {'O', 'b', 'j', 1}) || name.endsWith(".avro")) {
      throw new IOException("this engine does not read Avro container files; write lines of JSON with `aqueduct anonymise`");
    }
    boolean isGzip = magic.length > 1 && magic[0] == 0x1f && magic[1] == (byte) 0x8b;
    if (!isGzip && name.endsWith(".gz")) {
      throw new IOException("it is not a gzip file; rename it if it is not compressed");
    }
    return isGzip ? new GZIPInputStream(in, BUFFER) : in;
  }

  /** The next line that is not blank; null at the end. */
  Line next() throws IOException {
    Line next = peeked.isEmpty() ? read() : peeked.poll();
    if (next == null || next.digest == null || next.digest.time() == null) {
      return next;
    }
    long time = next.digest.time();
    long ahead = highest == Times.MIN ? 0 : time - highest;
    if (ahead > future && ahead > late && isFuture(time)) {
      return new Line(next.number, null, "future");
    }
    highest = Math.max(highest, time);
    return next;
  }

  private boolean isFuture(long time) throws IOException {
    int following = 0;
    int behind = 0;
    for (Line line : peeked) {
      if (following < FOLLOWING && hasTime(line)) {
        following++;
        behind += isBehind(time, line);
      }
    }
    while (following < FOLLOWING) {
      Line line = read();
      if (line == null) {
        return false;
      }
      peeked.add(line);
      if (hasTime(line)) {
        following++;
        behind += isBehind(time, line);
      }
    }
    return behind >= FAR_BEHIND;
  }

  private static boolean hasTime(Line line) {
    return line.digest != null && line.digest.time() != null;
  }

  private int isBehind(long time, Line line) {
    return time - line.digest.time() > Math.max(future, late) ? 1 : 0;
  }

  private Line read() throws IOException {
    while (true) {
      byte[] bytes = bytes();
      if (bytes == null) {
        return null;
      }
      if (bytes.length > MOST_EVENT) {
        return new Line(number, null, "too-large");
      }
      if (bytes.length > 0) {
        try {
          return new Line(number, reader.read(bytes, topic, null, now), null);
        } catch (Json.Bad bad) {
          return new Line(number, null, bad.getMessage());
        }
      }
    }
  }

  /** The bytes of the next line without white space around them; more than an event may have if it is too long. */
  private byte[] bytes() throws IOException {
    line.reset();
    boolean isThere = false;
    boolean isWhole = true;
    for (boolean more = fill(); more; more = fill()) {
      isThere = true;
      int start = at;
      while (at < end && buffer[at] != '\n') {
        at++;
      }
      isWhole &= line.size() + at - start <= MOST_LINE;
      if (isWhole) {
        line.write(buffer, start, at - start);
      }
      if (at < end) {
        at++;
        break;
      }
    }
    if (!isThere) {
      return null;
    }
    number++;
    return isWhole ? trimmed(line.toByteArray()) : new byte[MOST_EVENT + 1];
  }

  private static byte[] trimmed(byte[] whole) {
    int start = whole.length > 2 && whole[0] == (byte) 0xef && whole[1] == (byte) 0xbb && whole[2] == (byte) 0xbf ? 3 : 0;
    int end = whole.length;
    while (start < end && isSpace(whole[start])) {
      start++;
    }
    while (end > start && isSpace(whole[end - 1])) {
      end--;
    }
    return start == 0 && end == whole.length ? whole : Arrays.copyOfRange(whole, start, end);
  }

  /** Whether there is a byte to read. */
  private boolean fill() throws IOException {
    if (at < end) {
      return true;
    }
    try {
      at = 0;
      end = in.read(buffer);
      return end > 0;
    } catch (EOFException | ZipException error) {
      throw new IOException("it is corrupt or truncated; restore it and try again", error);
    }
  }

  private static boolean isSpace(byte b) {
    return b == ' ' || b == '\t' || b == '\n' || b == '\r' || b == '\f';
  }

  @Override
  public void close() throws IOException {
    in.close();
  }
}
