package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.count.Cells;
import aqueduct.count.Codec;
import aqueduct.count.Flow;
import aqueduct.count.Intake.JoinEvent;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import org.apache.beam.sdk.coders.CustomCoder;

/** How elements pass between steps: written field by field, because reflection would cost more than counting. */
final class Coders {
  private Coders() {}

  /** The key of a flow in a window; of a session, without its times. */
  record Place(int flow, byte[] key, long start, long end) {}

  /** A part of what a key has in a window. */
  record Tally(int flow, Cells cells) {}

  /** A part of a session. */
  record Span(long start, long end, Tally tally) {}

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
  }

  static final class OfPlace extends Fields<Place> {
    private static final long serialVersionUID = 1;

    @Override
    void write(Place place, DataOutputStream out) throws IOException {
      Codec.writeLong(out, place.flow());
      Codec.writeBytes(out, place.key());
      Codec.writeLong(out, place.start());
      Codec.writeLong(out, place.end());
    }

    @Override
    Place read(DataInputStream in) throws IOException {
      return new Place((int) Codec.readLong(in), Codec.readBytes(in), Codec.readLong(in), Codec.readLong(in));
    }
  }

  /** Cells are written without their types, which the flow has. */
  static final class OfTally extends Fields<Tally> {
    private static final long serialVersionUID = 1;
    private final Config config;

    OfTally(Config config) {
      this.config = config;
    }

    @Override
    void write(Tally tally, DataOutputStream out) throws IOException {
      Codec.writeLong(out, tally.flow());
      tally.cells().write(out);
    }

    @Override
    Tally read(DataInputStream in) throws IOException {
      int number = (int) Codec.readLong(in);
      Flow flow = config.flows().get(number);
      return new Tally(number, Cells.read(flow, in));
    }
  }

  static final class OfSpan extends Fields<Span> {
    private static final long serialVersionUID = 1;
    private final OfTally tally;

    OfSpan(Config config) {
      tally = new OfTally(config);
    }

    @Override
    void write(Span span, DataOutputStream out) throws IOException {
      Codec.writeLong(out, span.start());
      Codec.writeLong(out, span.end());
      tally.write(span.tally(), out);
    }

    @Override
    Span read(DataInputStream in) throws IOException {
      return new Span(Codec.readLong(in), Codec.readLong(in), tally.read(in));
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
