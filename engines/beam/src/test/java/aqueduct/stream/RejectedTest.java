package aqueduct.stream;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import aqueduct.count.Refused;
import aqueduct.frontier.Mark.Partition;
import aqueduct.frontier.Ranges.Range;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Spans of offsets against an array with an element for each offset. */
class RejectedTest {
  private static final Partition PARTITION = new Partition("events", "id", 0);
  private static final int OFFSETS = 40;

  private static Refused refused(int flows) {
    return new Refused(BitSet.valueOf(new long[] {flows}), flows == 3, 1);
  }

  @Test
  void spansAreTheLastOutcomeOfEachOffset() throws Exception {
    Random random = new Random(11);
    for (int round = 0; round < 200; round++) {
      Rejected rejected = new Rejected(1_000);
      Refused[] expected = new Refused[OFFSETS];
      for (int step = 0; step < 30; step++) {
        int start = random.nextInt(OFFSETS);
        int end = start + 1 + random.nextInt(Math.min(8, OFFSETS - start));
        int flows = random.nextInt(4);
        rejected.set(PARTITION, new Range(start, end), refused(flows));
        Arrays.fill(expected, start, end, flows == 0 ? null : refused(flows));
      }
      ByteArrayOutputStream saved = new ByteArrayOutputStream();
      rejected.write(new DataOutputStream(saved));
      Rejected restored = new Rejected(1_000);
      restored.read(new DataInputStream(new ByteArrayInputStream(saved.toByteArray())));
      for (int offset = 0; offset < OFFSETS; offset++) {
        assertEquals(expected[offset], rejected.get(PARTITION, offset));
        assertEquals(expected[offset], restored.get(PARTITION, offset));
      }
    }
  }

  @Test
  void lowestOffsetsAreForgottenBeyondTheLimit() {
    Rejected rejected = new Rejected(16);
    for (int offset = 0; offset < 100; offset += 2) {
      rejected.set(PARTITION, new Range(offset, offset + 1), refused(1));
    }
    assertNull(rejected.get(PARTITION, 0));
    assertEquals(refused(1), rejected.get(PARTITION, 98));
    assertEquals(refused(1), rejected.get(PARTITION, 90));
  }
}
