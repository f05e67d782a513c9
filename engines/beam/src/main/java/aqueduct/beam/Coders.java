package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.count.Cells;
import aqueduct.count.Codec;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Line;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import org.apache.beam.sdk.coders.CustomCoder;

/** How elements pass between steps: written field by field, because reflection would cost more than counting. */
final class Coders {
  private Coders() {}

  /** A key of a flow. */
  record Place(int flow, byte[] key) {}

  /** A part of what a key has in a slice or, of sessions, at a time. Windows that end before the floor do not take it. */
  record Part(int flow, long start, long floor, Cells cells) {}

  /** The value that the views and clicks of a join share. */
  record Shared(int flow, String on) {}

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
      Codec.writeLong(out, part.floor());
      part.cells().write(out);
    }

    @Override
    Part read(DataInputStream in) throws IOException {
      int number = (int) Codec.readLong(in);
      return new Part(number, Codec.readLong(in), Codec.readLong(in), Cells.read(config.flows().get(number), in));
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
}
