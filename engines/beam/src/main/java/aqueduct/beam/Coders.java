package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.count.Cells;
import aqueduct.count.Codec;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Ledger;
import aqueduct.count.Line;
import aqueduct.event.Times;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import org.apache.beam.sdk.coders.CustomCoder;
import org.apache.beam.sdk.values.KV;

/** How elements pass between steps: written field by field, because reflection would cost more than counting. */
final class Coders {
  private Coders() {}

  /** A key of a flow. */
  record Place(int flow, byte[] key) {}

  /**
   * A part of what a key has in a slice or, of sessions, at a time. Windows that end before the floor do not take it.
   * {@code passed} is the watermark when it was counted, if that had reached the end of a window.
   */
  record Part(int flow, long start, long floor, long passed, Cells cells) {
    /** A part of a run that knows the end of its input, where no pane is late. */
    Part(int flow, long start, long floor, Cells cells) {
      this(flow, start, floor, Times.MIN, cells);
    }
  }

  /** The value that the views and clicks of a join share. */
  record Shared(int flow, String on) {}

  /** What a source passes on: one of the four. */
  record Counted(KV<Place, Part> part, KV<Shared, JoinEvent> join, Line line, Ledger ledger) {
    static Counted of(byte[] key, Part part) {
      return new Counted(KV.of(new Place(part.flow(), key), part), null, null, null);
    }

    static Counted of(JoinEvent event) {
      return new Counted(null, KV.of(new Shared(event.flow(), event.on()), event), null, null);
    }

    static Counted of(Line line) {
      return new Counted(null, null, line, null);
    }

    static Counted of(Ledger ledger) {
      return new Counted(null, null, null, ledger);
    }
  }

  /** A coder whose type is known and whose bytes are the same for equal values. */
  abstract static class Fields<T> extends CustomCoder<T> {
    private static final long serialVersionUID = 1;

    abstract void write(T value, DataOutputStream out) throws IOException;

    abstract T read(DataInputStream in) throws IOException;

    @Override
    public void encode(T value, OutputStream out) throws IOException {
      write(value, new DataOutputStream(out));
    }

    @Override
    public T decode(InputStream in) throws IOException {
      return read(new DataInputStream(in));
    }

    @Override
    public void verifyDeterministic() {}

    /** Flink compares the coders of what it puts together. */
    @Override
    public boolean equals(Object other) {
      return other != null && other.getClass() == getClass();
    }

    @Override
    public int hashCode() {
      return getClass().hashCode();
    }
  }

  static final class OfPlace extends Fields<Place> {
    private static final long serialVersionUID = 1;

    @Override
    void write(Place place, DataOutputStream out) throws IOException {
      Codec.writeLong(out, place.flow());
      Codec.writeBytes(out, place.key());
    }

    @Override
    Place read(DataInputStream in) throws IOException {
      return new Place((int) Codec.readLong(in), Codec.readBytes(in));
    }
  }

  /** Cells are written without their types, which the flow has. */
  static final class OfPart extends Fields<Part> {
    private static final long serialVersionUID = 1;
    private final Config config;

    OfPart(Config config) {
      this.config = config;
    }

    @Override
    public boolean equals(Object other) {
      return super.equals(other) && ((OfPart) other).config == config;
    }

    @Override
    public int hashCode() {
      return super.hashCode();
    }

    @Override
    void write(Part part, DataOutputStream out) throws IOException {
      Codec.writeLong(out, part.flow());
      Codec.writeLong(out, part.start());
      // The ends of time, which are usual here, would take ten bytes each.
      out.writeByte((part.floor() == Times.MIN ? 0 : 1) | (part.passed() == Times.MIN ? 0 : 2));
      if (part.floor() != Times.MIN) {
        Codec.writeLong(out, part.floor());
      }
      if (part.passed() != Times.MIN) {
        Codec.writeLong(out, part.passed());
      }
      part.cells().write(out);
    }

    @Override
    Part read(DataInputStream in) throws IOException {
      int number = (int) Codec.readLong(in);
      long start = Codec.readLong(in);
      int bits = in.readByte();
      long floor = (bits & 1) == 0 ? Times.MIN : Codec.readLong(in);
      long passed = (bits & 2) == 0 ? Times.MIN : Codec.readLong(in);
      return new Part(number, start, floor, passed, Cells.read(config.flows().get(number), in));
    }
  }

  static final class OfShared extends Fields<Shared> {
    private static final long serialVersionUID = 1;

    @Override
    void write(Shared shared, DataOutputStream out) throws IOException {
      Codec.writeLong(out, shared.flow());
      Codec.writeText(out, shared.on());
    }

    @Override
    Shared read(DataInputStream in) throws IOException {
      return new Shared((int) Codec.readLong(in), Codec.readText(in));
    }
  }

  static final class OfLine extends Fields<Line> {
    private static final long serialVersionUID = 1;

    @Override
    void write(Line line, DataOutputStream out) throws IOException {
      out.writeByte(line.table().ordinal());
      Codec.writeLong(out, line.flow());
      Codec.writeBytes(out, line.key());
      Codec.writeLong(out, line.index());
      Codec.writeText(out, line.pane());
      Codec.writeText(out, line.json());
    }

    @Override
    Line read(DataInputStream in) throws IOException {
      return new Line(Line.Table.values()[in.readByte()], (int) Codec.readLong(in), Codec.readBytes(in),
          Codec.readLong(in), Codec.readText(in), Codec.readText(in));
    }
  }

  /** Without the flow and the value of a join, which are the key beside it. */
  static final class OfJoinEvent extends Fields<JoinEvent> {
    private static final long serialVersionUID = 1;

    @Override
    void write(JoinEvent event, DataOutputStream out) throws IOException {
      Codec.writeLong(out, event.number());
      Codec.writeLong(out, event.watermark());
      out.writeByte((event.isView() ? 1 : 0) | (event.countsAlone() ? 2 : 0));
      Codec.writeLong(out, event.time());
      Codec.writeBytes(out, event.key());
      Codec.writeLong(out, event.feeds());
      Codec.writeInputs(out, event.inputs());
    }

    @Override
    JoinEvent read(DataInputStream in) throws IOException {
      long number = Codec.readLong(in);
      long watermark = Codec.readLong(in);
      int bits = in.readByte();
      return new JoinEvent(0, "", number, watermark, (bits & 1) != 0, Codec.readLong(in), Codec.readBytes(in),
          Codec.readLong(in), Codec.readInputs(in), (bits & 2) != 0);
    }
  }

  static final class OfCounted extends Fields<Counted> {
    private static final long serialVersionUID = 1;
    private final OfPlace places = new OfPlace();
    private final OfPart parts;
    private final OfShared values = new OfShared();
    private final OfJoinEvent events = new OfJoinEvent();
    private final OfLine lines = new OfLine();

    OfCounted(Config config) {
      parts = new OfPart(config);
    }

    @Override
    void write(Counted element, DataOutputStream out) throws IOException {
      if (element.part() != null) {
        out.writeByte(0);
        places.write(element.part().getKey(), out);
        parts.write(element.part().getValue(), out);
      } else if (element.join() != null) {
        out.writeByte(1);
        values.write(element.join().getKey(), out);
        events.write(element.join().getValue(), out);
      } else if (element.line() != null) {
        out.writeByte(2);
        lines.write(element.line(), out);
      } else {
        out.writeByte(3);
        element.ledger().write(out);
      }
    }

    @Override
    Counted read(DataInputStream in) throws IOException {
      return switch (in.readByte()) {
        case 0 -> new Counted(KV.of(places.read(in), parts.read(in)), null, null, null);
        case 1 -> new Counted(null, KV.of(values.read(in), events.read(in)), null, null);
        case 2 -> Counted.of(lines.read(in));
        default -> Counted.of(Ledger.read(in));
      };
    }
  }

  static final class OfLedger extends Fields<Ledger> {
    private static final long serialVersionUID = 1;

    @Override
    void write(Ledger ledger, DataOutputStream out) throws IOException {
      ledger.write(out);
    }

    @Override
    Ledger read(DataInputStream in) throws IOException {
      return Ledger.read(in);
    }
  }
}
