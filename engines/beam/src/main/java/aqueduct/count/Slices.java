package aqueduct.count;

import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Counts of many events by flow, key and slice, before they enter the engine: what moves between its steps is a part of a
 * count, not an event. Sessions begin as one for each event and merge in {@link #drain}.
 */
public final class Slices {
  /** More cells than this are passed on: tens of megabytes for counts. */
  private static final int MOST = 50_000;

  private record Slice(int flow, ByteBuffer key, long start, long floor) {}

  /** Takes a part of a window; of a session, a part of the time from start to end. */
  public interface Visitor {
    void part(int flow, byte[] key, long start, long end, Cells cells);
  }

  private final List<Flow> flows;
  private final Map<Slice, Cells> cells = new HashMap<>();

  public Slices(List<Flow> flows) {
    this.flows = flows;
  }

  public void count(int flow, byte[] key, long slice, long floor, long feeds, Object[] inputs, long times) {
    Slice place = new Slice(flow, ByteBuffer.wrap(key), slice, floor);
    cells.computeIfAbsent(place, of -> new Cells(flows.get(flow))).add(feeds, inputs, times);
  }

  public boolean isFull() {
    return cells.size() >= MOST;
  }

  /** Passes on everything, each slice for each of its windows that takes it, and forgets it. */
  public void drain(Visitor visitor) {
    Map<Slice, Cells> windows = new HashMap<>();
    cells.forEach((slice, part) -> flows.get(slice.flow).windows().holding(slice.start, (start, end) -> {
      if (end >= slice.floor) {
        Slice window = new Slice(slice.flow, slice.key, start, end);
        windows.computeIfAbsent(window, of -> new Cells(flows.get(slice.flow))).merge(part);
      }
    }));
    cells.clear();
    windows.forEach((window, whole) -> visitor.part(window.flow, window.key.array(), window.start, window.floor, whole));
  }
}
