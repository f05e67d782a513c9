package aqueduct.count;

import aqueduct.event.Times;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Windows that are the same for all keys, made of slices. */
final class KeptAligned extends Kept {
  /** What was counted in a slice. Windows that end before the floor do not have it. */
  private record Slot(long floor, Cells cells) {}

  private static final class Window {
    final long start;
    /** How many panes have fired. */
    long panes;
    /** Whether the watermark has reached its end, after which panes are late. */
    boolean isOver;
    /** Whether it changed after its last pane, and whether anything in it was not late. */
    boolean hasChanged;
    boolean wasOnTime;

    Window(long start) {
      this.start = start;
    }

    /** Whether its next pane is the one at its end. */
    boolean isOnTime() {
      return !isOver && wasOnTime;
    }
  }

  /** The highest watermark that a part or a call has mentioned. */
  private long watermark = Times.MIN;
  private final TreeMap<Long, List<Slot>> slices = new TreeMap<>();
  /** By their ends. */
  private final TreeMap<Long, Window> windows = new TreeMap<>();

  KeptAligned(Flow flow) {
    super(flow);
  }

  @Override
  public void add(long slice, long floor, long passed, Cells cells) {
    watermark = Math.max(watermark, passed);
    flow.windows().holding(slice, (start, end) -> {
      if (end >= floor) {
        Window window = windows.computeIfAbsent(end, of -> new Window(start));
        window.hasChanged = true;
        window.wasOnTime |= end > passed;
      }
    });
    List<Slot> slots = slices.computeIfAbsent(slice, of -> new ArrayList<>(1));
    for (Slot slot : slots) {
      if (slot.floor == floor) {
        slot.cells.merge(cells);
        return;
      }
    }
    Cells own = new Cells(flow);
    own.merge(cells);
    slots.add(new Slot(floor, own));
  }

  @Override
  public long due() {
    long due = Times.MAX;
    for (Map.Entry<Long, Window> entry : windows.entrySet()) {
      Window window = entry.getValue();
      long end = entry.getKey();
      long after = window.hasChanged ? Times.plus(watermark, 1) : Times.plus(end, flow.allowedLateness());
      due = Math.min(due, window.isOnTime() ? end : after);
    }
    return due;
  }

  @Override
  public void advance(long to, long now, Panes panes) {
    for (Map.Entry<Long, Window> entry : windows.headMap(to, true).entrySet()) {
      Window window = entry.getValue();
      boolean isOnTime = window.isOnTime();
      window.isOver = true;
      if (isOnTime || window.hasChanged) {
        // What was late has changed under the watermark before.
        fire(window, entry.getKey(), isOnTime ? "ON_TIME" : "LATE", isOnTime ? to : watermark, now, panes);
      }
    }
    watermark = Math.max(watermark, to);
    windows.headMap(Times.minus(to, flow.allowedLateness()), true).clear();
    // Windows end in the order of their starts, so a slice before the first one is in none.
    long first = windows.isEmpty() ? Times.MAX : windows.firstEntry().getValue().start;
    slices.headMap(first, false).clear();
  }

  @Override
  public void early(long at, long now, Panes panes) {
    windows.forEach((end, window) -> {
      if (window.isOnTime() && window.hasChanged) {
        fire(window, end, "EARLY", at, now, panes);
      }
    });
  }

  private void fire(Window window, long end, String pane, long watermark, long now, Panes panes) {
    window.hasChanged = false;
    Cells cells = new Cells(flow);
    slices.subMap(window.start, end).values().forEach(slots -> slots.forEach(slot -> {
      if (end >= slot.floor) {
        cells.merge(slot.cells);
      }
    }));
    // Everything was taken back before anyone saw it.
    if (pane.equals("ON_TIME") && flow.takesBack() && cells.isEmpty() && window.panes == 0) {
      return;
    }
    panes.fire(window.start, end, cells, new Rows.Firing(pane, window.panes++, watermark, now));
  }

  @Override
  public boolean isEmpty() {
    return windows.isEmpty();
  }

  @Override
  public void write(DataOutput out) throws IOException {
    Codec.writeLong(out, watermark);
    Codec.writeLong(out, slices.size());
    for (Map.Entry<Long, List<Slot>> slice : slices.entrySet()) {
      Codec.writeLong(out, slice.getKey());
      Codec.writeLong(out, slice.getValue().size());
      for (Slot slot : slice.getValue()) {
        Codec.writeLong(out, slot.floor);
        slot.cells.write(out);
      }
    }
    Codec.writeLong(out, windows.size());
    for (Map.Entry<Long, Window> entry : windows.entrySet()) {
      Window window = entry.getValue();
      Codec.writeLong(out, entry.getKey());
      Codec.writeLong(out, window.start);
      Codec.writeLong(out, window.panes);
      out.writeByte((window.isOver ? 1 : 0) | (window.hasChanged ? 2 : 0) | (window.wasOnTime ? 4 : 0));
    }
  }

  @Override
  void readFrom(DataInput in) throws IOException {
    watermark = Codec.readLong(in);
    for (long left = Codec.readLong(in); left > 0; left--) {
      long start = Codec.readLong(in);
      List<Slot> slots = new ArrayList<>(1);
      for (long more = Codec.readLong(in); more > 0; more--) {
        slots.add(new Slot(Codec.readLong(in), Cells.read(flow, in)));
      }
      slices.put(start, slots);
    }
    for (long left = Codec.readLong(in); left > 0; left--) {
      long end = Codec.readLong(in);
      Window window = new Window(Codec.readLong(in));
      window.panes = Codec.readLong(in);
      int bits = in.readByte();
      window.isOver = (bits & 1) != 0;
      window.hasChanged = (bits & 2) != 0;
      window.wasOnTime = (bits & 4) != 0;
      windows.put(end, window);
    }
  }
}
