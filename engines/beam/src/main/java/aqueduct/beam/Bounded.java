package aqueduct.beam;

import aqueduct.beam.Coders.Place;
import aqueduct.beam.Coders.Shared;
import aqueduct.beam.Coders.Span;
import aqueduct.beam.Coders.Tally;
import aqueduct.config.Config;
import aqueduct.count.Cells;
import aqueduct.count.Flow;
import aqueduct.count.Intake;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Intake.Outcome;
import aqueduct.count.JoinValue;
import aqueduct.count.Rows;
import aqueduct.count.Slices;
import aqueduct.count.Windows;
import aqueduct.event.Times;
import aqueduct.input.FileRun;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.CoderRegistry;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.NullableCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.metrics.Metrics;
import org.apache.beam.sdk.transforms.Combine;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PBegin;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.PDone;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TupleTagList;

/**
 * The flows over files, as `aqueduct replay --anonymised --final` counts them: the last values of each window and key.
 *
 * <p>One reader decides what is late and what is a copy, since both follow from the order of events; it passes on parts of
 * counts. All else is parallel: joins by their value, counts by window and key.
 */
final class Bounded extends PTransform<PBegin, PDone> {
  static final String METRICS = "aqueduct";

  private static final long serialVersionUID = 1;
  private static final TupleTag<KV<Place, Tally>> COUNTS = new TupleTag<>() {};
  private static final TupleTag<KV<Place, Span>> SESSIONS = new TupleTag<>() {};
  private static final TupleTag<KV<Shared, JoinEvent>> JOINS = new TupleTag<>() {};

  private final Config config;
  private final List<FileRun.Place> places;
  private final String output;
  private final long now;

  /** {@code now} is the time against which future events are judged, and that of the rows. */
  Bounded(Config config, List<FileRun.Place> places, String output, long now) {
    this.config = config;
    this.places = places;
    this.output = output;
    this.now = now;
  }

  @Override
  public PDone expand(PBegin begin) {
    KvCoder<Place, Tally> counted = KvCoder.of(new Coders.OfPlace(), new Coders.OfTally(config));
    PCollectionTuple read = begin.apply("Start", Create.of("files").withCoder(StringUtf8Coder.of()))
        .apply("Read", ParDo.of(new Read(config, places, now))
            .withOutputTags(COUNTS, TupleTagList.of(SESSIONS).and(JOINS)));
    PCollection<KV<Place, Span>> sessions = read.get(SESSIONS)
        .setCoder(KvCoder.of(new Coders.OfPlace(), new Coders.OfSpan(config)));
    PCollection<KV<Place, Tally>> joined = read.get(JOINS)
        .setCoder(KvCoder.of(new Coders.OfShared(), new Coders.OfJoinEvent()))
        .apply("Group by join", GroupByKey.create())
        .apply("Join", ParDo.of(new Join(config))).setCoder(counted);
    PCollection<String> ofWindows = PCollectionList.of(read.get(COUNTS).setCoder(counted)).and(joined)
        .apply("Counts", Flatten.pCollections())
        .apply("Merge", Combine.perKey(new Merge(config)))
        .apply("Rows", ParDo.of(new WindowRows(config, now)));
    PCollection<String> ofSessions = sessions.apply("Group by session key", GroupByKey.create())
        .apply("Session rows", ParDo.of(new SessionRows(config, now)));
    return PCollectionList.of(ofWindows).and(ofSessions).apply("All rows", Flatten.pCollections())
        .apply("Write", new RowFile(output));
  }

  /** The counter of an outcome in a flow. */
  static String counter(String flow, Outcome outcome) {
    return flow + "." + outcome.name().toLowerCase(Locale.ROOT);
  }

  private static void account(Flow flow, Outcome outcome, long events) {
    Metrics.counter(METRICS, counter(flow.name(), outcome)).inc(events);
  }

  /** Reads all files. */
  private static final class Read extends DoFn<String, KV<Place, Tally>> {
    private static final long serialVersionUID = 1;
    private final Config config;
    private final List<FileRun.Place> places;
    private final long now;

    Read(Config config, List<FileRun.Place> places, long now) {
      this.config = config;
      this.places = new ArrayList<>(places);
      this.now = now;
    }

    @ProcessElement
    public void process(MultiOutputReceiver out) throws IOException {
      Slices slices = new Slices(config.flows());
      Intake intake = new Intake(config, new Intake.Sink() {
        @Override
        public void count(int flow, byte[] key, long slice, long floor, long feeds, Object[] inputs) {
          slices.count(flow, key, slice, floor, feeds, inputs, 1);
        }

        @Override
        public void join(JoinEvent event) {
          out.get(JOINS).output(KV.of(new Shared(event.flow(), event.on()), event));
        }
      });
      FileRun run = new FileRun(config, intake, now, (reason, pointer, position) -> {
        String at = pointer == null ? "" : " at " + pointer;
        Metrics.counter(METRICS, "rejected: " + reason + at).inc();
      });
      run.run(places, () -> {
        if (slices.isFull()) {
          pass(slices, out);
        }
      });
      pass(slices, out);
      for (int n = 0; n < config.flows().size(); n++) {
        Flow flow = config.flows().get(n);
        intake.ledgers().get(n).forEach((outcome, events) -> {
          if (outcome != Outcome.PENDING) {
            account(flow, outcome, events);
          }
        });
      }
    }

    private void pass(Slices slices, MultiOutputReceiver out) {
      slices.drain((flow, key, start, end, cells) -> {
        Tally tally = new Tally(flow, cells);
        if (config.flows().get(flow).windows() instanceof Windows.Sessions) {
          out.get(SESSIONS).output(KV.of(new Place(flow, key, 0, 0), new Span(start, end, tally)));
        } else {
          out.get(COUNTS).output(KV.of(new Place(flow, key, start, end), tally));
        }
      });
    }
  }

  /** Finds the views of clicks that share a value, in the order of their arrival. */
  private static final class Join extends DoFn<KV<Shared, Iterable<JoinEvent>>, KV<Place, Tally>> {
    private static final long serialVersionUID = 1;
    private final Config config;

    Join(Config config) {
      this.config = config;
    }

    @ProcessElement
    public void process(@Element KV<Shared, Iterable<JoinEvent>> element, OutputReceiver<KV<Place, Tally>> out) {
      int number = element.getKey().flow();
      Flow flow = config.flows().get(number);
      List<JoinEvent> events = new ArrayList<>();
      element.getValue().forEach(events::add);
      // An event that is both is a view first.
      events.sort(Comparator.comparingLong(JoinEvent::number).thenComparing(event -> !event.isView()));
      Slices slices = new Slices(config.flows());
      long[] watermark = {Times.MIN};
      JoinValue.Changes changes = (key, time, feeds, inputs, times) ->
          count(flow, number, slices, watermark[0], key, time, feeds, inputs, times);
      JoinValue value = new JoinValue(flow, changes);
      long clicks = flow.feeds(Flow.Source.CLICKS);
      for (JoinEvent event : events) {
        watermark[0] = event.watermark();
        if (!value.arrives(event) && !event.isView()) {
          boolean counts =
              changesOf(flow, number, slices, event, event.feeds() | clicks);
          if (event.countsAlone()) {
            account(flow, counts ? Outcome.COUNTED : Outcome.IGNORED, 1);
          }
        }
      }
      value.end();
      account(flow, Outcome.COUNTED, value.found);
      account(flow, Outcome.UNMATCHED, value.unmatched);
      Metrics.counter(METRICS, flow.name() + ".over_limit").inc(value.overLimit);
      slices.drain((of, key, start, end, cells) -> out.output(KV.of(new Place(of, key, start, end), new Tally(of, cells))));
    }

    private static boolean changesOf(Flow flow, int number, Slices slices, JoinEvent event, long feeds) {
      return count(flow, number, slices, event.watermark(), event.key(), event.time(), feeds, event.inputs(), 1);
    }

    /** Counts a change in the windows that are not over; whether there is one. */
    private static boolean count(Flow flow, int number, Slices slices, long watermark, byte[] key, long time, long feeds,
        Object[] inputs, long times) {
      long closed = Times.minus(watermark, flow.allowedLateness());
      Windows windows = flow.windows();
      if (windows.fate(time, closed) != Windows.Fate.COUNTED) {
        return false;
      }
      slices.count(number, key, windows.slice(time), Intake.floor(windows, time, closed), feeds, inputs, times);
      return true;
    }
  }

  /** Merges the parts of a window. Only accumulators are changed: elements are shared between steps. */
  private static final class Merge extends Combine.CombineFn<Tally, Tally, Tally> {
    private static final long serialVersionUID = 1;
    private final Config config;

    Merge(Config config) {
      this.config = config;
    }

    @Override
    public Tally createAccumulator() {
      return null;
    }

    @Override
    public Tally addInput(Tally accumulator, Tally part) {
      Tally sum = accumulator == null ? new Tally(part.flow(), new Cells(config.flows().get(part.flow()))) : accumulator;
      sum.cells().merge(part.cells());
      return sum;
    }

    @Override
    public Tally mergeAccumulators(Iterable<Tally> accumulators) {
      Tally sum = null;
      for (Tally accumulator : accumulators) {
        sum = accumulator == null ? sum : addInput(sum, accumulator);
      }
      return sum;
    }

    @Override
    public Tally extractOutput(Tally accumulator) {
      return accumulator;
    }

    @Override
    public Coder<Tally> getAccumulatorCoder(CoderRegistry registry, Coder<Tally> inputs) {
      return NullableCoder.of(inputs);
    }

    @Override
    public Coder<Tally> getDefaultOutputCoder(CoderRegistry registry, Coder<Tally> inputs) {
      return inputs;
    }
  }

  /** Makes rows of one flow after another. */
  private abstract static class ToRows<T> extends DoFn<T, String> {
    private static final long serialVersionUID = 1;
    final Config config;
    private final long now;

    ToRows(Config config, long now) {
      this.config = config;
      this.now = now;
    }

    String row(Place place, long start, long end, Cells cells) {
      Rows.Firing firing = new Rows.Firing("ON_TIME", 0, Times.MAX, now);
      return new Rows(config.flows().get(place.flow())).line(place.key(), start, end, cells, firing);
    }
  }

  private static final class WindowRows extends ToRows<KV<Place, Tally>> {
    private static final long serialVersionUID = 1;

    WindowRows(Config config, long now) {
      super(config, now);
    }

    @ProcessElement
    public void process(@Element KV<Place, Tally> element, OutputReceiver<String> out) {
      Place place = element.getKey();
      Cells cells = element.getValue().cells();
      // Clicks that moved to another view: in another order of arrival the key has no row.
      if (!config.flows().get(place.flow()).takesBack() || !cells.isZero()) {
        out.output(row(place, place.start(), place.end(), cells));
      }
    }
  }

  private static final class SessionRows extends ToRows<KV<Place, Iterable<Span>>> {
    private static final long serialVersionUID = 1;

    SessionRows(Config config, long now) {
      super(config, now);
    }

    @ProcessElement
    public void process(@Element KV<Place, Iterable<Span>> element, OutputReceiver<String> out) {
      List<Span> spans = new ArrayList<>();
      element.getValue().forEach(spans::add);
      spans.sort(Comparator.comparingLong(Span::start));
      Place place = element.getKey();
      for (int from = 0; from < spans.size(); ) {
        Span first = spans.get(from);
        Cells cells = new Cells(config.flows().get(place.flow()));
        long end = first.end();
        int to = from;
        for (; to < spans.size() && spans.get(to).start() < end; to++) {
          cells.merge(spans.get(to).tally().cells());
          end = Math.max(end, spans.get(to).end());
        }
        out.output(row(place, first.start(), end, cells));
        from = to;
      }
    }
  }
}
