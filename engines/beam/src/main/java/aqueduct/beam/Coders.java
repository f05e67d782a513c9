package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.count.Cells;
import aqueduct.count.Codec;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Rows;
import aqueduct.event.Times;
import aqueduct.stream.Core.Letter;
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

  /** What a source passes on: one of the three. */
  record Counted(KV<Place, Part> part, KV<Shared, JoinEvent> join, Letter letter) {}

  /** A pane that fired. */
  record Pane(Place place, long start, long end, Cells cells, Rows.Firing firing) {}

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

  static final class OfLetter extends Fields<Letter> {
    private static final long serialVersionUID = 1;

    @Override
    void write(Letter letter, DataOutputStream out) throws IOException {
      Codec.writeText(out, letter.topic());
      Codec.writeLong(out, letter.partition());
      Codec.writeLong(out, letter.offset());
      Codec.writeText(out, letter.stage());
      Codec.writeText(out, letter.reason());
      Codec.writeText(out, letter.pointer() == null ? "" : letter.pointer());
    }

    @Override
    Letter read(DataInputStream in) throws IOException {
      String topic = Codec.readText(in);
      int partition = (int) Codec.readLong(in);
      long offset = Codec.readLong(in);
      String stage = Codec.readText(in);
      String reason = Codec.readText(in);
      String pointer = Codec.readText(in);
      return new Letter(topic, partition, offset, stage, reason, pointer.isEmpty() ? null : pointer);
    }
  }

  static final class OfCounted extends Fields<Counted> {
    private static final long serialVersionUID = 1;
    private final OfPlace places = new OfPlace();
    private final OfPart parts;
    private final OfShared values = new OfShared();
    private final OfJoinEvent events = new OfJoinEvent();
    private final OfLetter letters = new OfLetter();

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
      } else {
        out.writeByte(2);
        letters.write(element.letter(), out);
      }
    }

    @Override
    Counted read(DataInputStream in) throws IOException {
      return switch (in.readByte()) {
        case 0 -> new Counted(KV.of(places.read(in), parts.read(in)), null, null);
        case 1 -> new Counted(null, KV.of(values.read(in), events.read(in)), null);
        default -> new Counted(null, null, letters.read(in));
      };
    }
  }

  static final class OfPane extends Fields<Pane> {
    private static final long serialVersionUID = 1;
    private final Config config;
    private final OfPlace places = new OfPlace();

    OfPane(Config config) {
      this.config = config;
    }

    @Override
    void write(Pane pane, DataOutputStream out) throws IOException {
      places.write(pane.place(), out);
      Codec.writeLong(out, pane.start());
      Codec.writeLong(out, pane.end());
      pane.cells().write(out);
      Codec.writeText(out, pane.firing().pane());
      Codec.writeLong(out, pane.firing().index());
      Codec.writeLong(out, pane.firing().watermark());
      Codec.writeLong(out, pane.firing().emittedAt());
    }

    @Override
    Pane read(DataInputStream in) throws IOException {
      Place place = places.read(in);
      return new Pane(place, Codec.readLong(in), Codec.readLong(in), Cells.read(config.flows().get(place.flow()), in),
          new Rows.Firing(Codec.readText(in), Codec.readLong(in), Codec.readLong(in), Codec.readLong(in)));
    }
  }
}
