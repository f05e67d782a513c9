package aqueduct.count;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Counts of many events by flow, key and slice, before they enter the engine: what moves between its steps is a part of a
 * count, not an event.
 */
public final class Slices {
  /** More cells than this are passed on: tens of megabytes for counts. */
  private static final int MOST = 50_000;

  /** A place of cells; its hash is computed once. */
  private static final class Slice {
    final int flow;
    final byte[] key;
    final long start;
    final long floor;
    final int hash;

    Slice(int flow, byte[] key, long start, long floor) {
      this.flow = flow;
      this.key = key;
      this.start = start;
      this.floor = floor;
      hash = ((Arrays.hashCode(key) * 31 + Long.hashCode(start)) * 31 + Long.hashCode(floor)) * 31 + flow;
    }

    @Override
    public int hashCode() {
      return hash;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Slice slice && slice.flow == flow && slice.start == start && slice.floor == floor
          && Arrays.equals(slice.key, key);
    }
  }

  /** Takes the cells of a slice. Windows that end before {@code floor} do not take them. */
  public interface Visitor {
    void part(int flow, byte[] key, long start, long floor, Cells cells);
  }

  private final List<Flow> flows;
  private final Map<Slice, Cells> cells = new HashMap<>();

  public Slices(List<Flow> flows) {
    this.flows = flows;
  }

  public void count(int flow, byte[] key, long slice, long floor, long feeds, Object[] inputs, long times) {
    cells.computeIfAbsent(new Slice(flow, key, slice, floor), of -> new Cells(flows.get(flow)))
        .add(feeds, inputs, times);
  }

  public boolean isFull() {
    return cells.size() >= MOST;
  }

  /** Passes on everything and forgets it. */
  public void drain(Visitor visitor) {
    cells.forEach((slice, part) -> visitor.part(slice.flow, slice.key, slice.start, slice.floor, part));
    cells.clear();
  }
}
