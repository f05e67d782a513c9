package aqueduct.beam;

import aqueduct.beam.Coders.Counted;
import aqueduct.count.Line;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.beam.sdk.state.TimeDomain;
import org.apache.beam.sdk.state.Timer;
import org.apache.beam.sdk.state.TimerSpec;
import org.apache.beam.sdk.state.TimerSpecs;
import org.apache.beam.sdk.testing.TestStream;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PBegin;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Instant;

/**
 * A stream that waits: an element behind a watermark enters the pipeline when the sink has seen that watermark. Without it
 * elements overtake the watermark on their shorter ways, and which panes fire depends on threads. It needs one process.
 */
final class InStep extends PTransform<PBegin, PCollection<Counted>> {
  private static final long serialVersionUID = 1;
  private static final Map<String, Seen> SEEN = new ConcurrentHashMap<>();
  private static final Map<String, Map<Line.Table, List<String>>> ROWS = new ConcurrentHashMap<>();

  private final String name;
  private final TestStream<Counted> steps;

  InStep(String name, TestStream<Counted> steps) {
    this.name = name;
    this.steps = steps;
  }

  @Override
  public PCollection<Counted> expand(PBegin begin) {
    return begin.apply("Steps", steps).apply("Wait", ParDo.of(new Wait(name))).setCoder(steps.getValueCoder());
  }

  /** The last element before a watermark, which passes through the pipeline as a dead letter does. */
  static Counted border(long watermark) {
    return Counted.of(new Line(Line.Table.DEAD_LETTERS, -1, new byte[0], watermark, "", ""));
  }

  /** The rows that the sinks of a directory have received. */
  static List<String> rows(String name, Line.Table table) {
    Map<Line.Table, List<String>> rows = ROWS.getOrDefault(name, Map.of());
    return rows.getOrDefault(table, List.of());
  }

  /** The watermark that the sink of a stream has seen. */
  private static final class Seen {
    private long watermark = Long.MIN_VALUE;

    static Seen of(String name) {
      return SEEN.computeIfAbsent(name, key -> new Seen());
    }

    synchronized void reached(long now) {
      watermark = Math.max(watermark, now);
      notifyAll();
    }

    synchronized void await(long expected) throws InterruptedException {
      while (watermark < expected) {
        wait();
      }
    }
  }

  private static final class Wait extends DoFn<Counted, Counted> {
    private static final long serialVersionUID = 1;
    private final String name;
    private long border = Long.MIN_VALUE;

    Wait(String name) {
      this.name = name;
    }

    @ProcessElement
    public void process(@Element Counted element, OutputReceiver<Counted> out) throws InterruptedException {
      Seen.of(name).await(border);
      if (element.line() != null) {
        border = element.line().index();
      }
      out.output(element);
    }
  }

  static final class Sink extends DoFn<KV<Integer, Line>, Void> {
    private static final long serialVersionUID = 1;
    private final String directory;
    private final String name;

    @TimerId("border")
    private final TimerSpec border = TimerSpecs.timer(TimeDomain.EVENT_TIME);

    Sink(String directory, String name) {
      this.directory = directory;
      this.name = name;
    }

    @ProcessElement
    public void process(@Element KV<Integer, Line> element, @TimerId("border") Timer timer) {
      Line line = element.getValue();
      if (line.table() == Line.Table.DEAD_LETTERS) {
        timer.set(new Instant(line.index() - 1));
      } else {
        ROWS.computeIfAbsent(directory, key -> new ConcurrentHashMap<>())
            .computeIfAbsent(line.table(), key -> new CopyOnWriteArrayList<>()).add(line.json());
      }
    }

    @OnTimer("border")
    public void border(OnTimerContext timed) {
      Seen.of(name).reached(timed.fireTimestamp().getMillis() + 1);
    }
  }
}
