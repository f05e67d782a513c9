package aqueduct.count;

import java.util.BitSet;

/**
 * What is known of a rejected offset: the numbers of the flows that rejected it; whether another flow took the record, so
 * that its own event ID is among the known ones; and the redrive in which it was rejected last, 0 if it was in none.
 */
public record Refused(BitSet flows, boolean isTaken, long redrive) {
  /** All flows have refused it, when it first arrived. */
  public static Refused byAll(int flows) {
    BitSet all = new BitSet(flows);
    all.set(0, flows);
    return new Refused(all, false, 0);
  }
}
