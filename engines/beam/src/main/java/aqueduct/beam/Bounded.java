package aqueduct.beam;

import aqueduct.beam.Coders.Part;
import aqueduct.beam.Coders.Place;
import aqueduct.beam.Coders.Shared;
import aqueduct.config.Config;
import aqueduct.count.Cells;
import aqueduct.count.Flow;
import aqueduct.count.Intake;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Intake.Outcome;
import aqueduct.count.JoinValue;
import aqueduct.count.Line;
import aqueduct.count.Rows;
import aqueduct.count.Slices;
import aqueduct.count.Windows;
import aqueduct.count.Windows.Window;
import aqueduct.event.Times;
import aqueduct.input.FileRun;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.metrics.Metrics;
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
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TupleTagList;

/**
 * The flows over files, as `aqueduct replay --anonymised --final` counts them: the last values of each window and key.
 *
 * <p>One reader decides what is late and what is a copy, since both follow from the order of events; it passes on parts of
 * counts. All else is parallel: joins by their value, counts by key.
 */
final class Bounded extends PTransform<PBegin, PCollection<Line>> {
  static final String METRICS = "aqueduct";
  /** The records that were read. */
  static final String RECORDS = "records";
  /** Follows the name of a flow: the ends of the windows that have rows. */
  static final String LAST_END = ".last_end";

  private static final long serialVersionUID = 1;
  private static final TupleTag<KV<Place, Part>> PARTS = new TupleTag<>() {};
  private static final TupleTag<KV<Shared, JoinEvent>> JOINS = new TupleTag<>() {};
  private static final TupleTag<Line> LETTERS = new TupleTag<>() {};

  private final Config config;
  private final List<FileRun.Place> places;
  private final long now;

  /** {@code now} is the time against which future events are judged, and that of the rows. */
  Bounded(Config config, List<FileRun.Place> places, long now) {
    this.config = config;
    this.places = places;
    this.now = now;
  }

  @Override
  public PCollection<Line> expand(PBegin begin) {
    KvCoder<Place, Part> parts = KvCoder.of(new Coders.OfPlace(), new Coders.OfPart(config));
    PCollectionTuple read = begin.apply("Start", Create.of("files").withCoder(StringUtf8Coder.of()))
        .apply("Read", ParDo.of(new Read(config, places, now)).withOutputTags(PARTS, TupleTagList.of(JOINS).and(LETTERS)));
    PCollection<KV<Place, Part>> joined = read.get(JOINS)
        .setCoder(KvCoder.of(new Coders.OfShared(), new Coders.OfJoinEvent()))
        .apply("Group by join", GroupByKey.create())
        .apply("Join", ParDo.of(new Join(config))).setCoder(parts);
    PCollection<Line> rows = PCollectionList.of(read.get(PARTS).setCoder(parts)).and(joined)
        .apply("All parts", Flatten.pCollections())
        .apply("Group by key", GroupByKey.create())
        .apply("Rows", ParDo.of(new KeyRows(config, now))).setCoder(new Coders.OfLine());
    return PCollectionList.of(rows).and(read.get(LETTERS).setCoder(new Coders.OfLine()))
        .apply("Rows and dead letters", Flatten.pCollections());
  }

  /** The counter of an outcome in a flow. */
  static String counter(String flow, Outcome outcome) {
    return flow + "." + outcome.name().toLowerCase(Locale.ROOT);
  }

  private static void account(Flow flow, Outcome outcome, long events) {
    Metrics.counter(METRICS, counter(flow.name(), outcome)).inc(events);
  }

  /** Counts a change in the windows that are not over; whether there is one. */
  static boolean count(Flow flow, int number, Slices slices, long watermark, byte[] key, long time, long feeds,
      Object[] inputs, long times) {
    long closed = Times.minus(watermark, flow.allowedLateness());
    Windows windows = flow.windows();
    if (windows.fate(time, closed) != Windows.Fate.COUNTED) {
      return false;
    }
    slices.count(number, key, windows.slice(time), Intake.floor(windows, time, closed), feeds, inputs, times);
    return true;
  }

  /** Reads all files. */
  private static final class Read extends DoFn<String, KV<Place, Part>> {
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
      FileRun run = new FileRun(config, intake, now, (refusal, partition, line) -> {
        String at = refusal.pointer() == null ? "" : " at " + refusal.pointer();
        Metrics.counter(METRICS, "rejected: " + refusal.reason() + at).inc();
        out.get(LETTERS).output(Rows.deadLetter(places.get(partition).topic(), partition, line,
            "processor", refusal, now));
      });
      long records = run.run(places, () -> {
        if (slices.isFull()) {
          pass(slices, out);
        }
      });
      pass(slices, out);
      Metrics.counter(METRICS, RECORDS).inc(records);
      for (int n = 0; n < config.flows().size(); n++) {
        Flow flow = config.flows().get(n);
        intake.ledgers().get(n).forEach((outcome, events) -> {
          if (outcome != Outcome.PENDING) {
            account(flow, outcome, events);
          }
        });
      }
    }

    private static void pass(Slices slices, MultiOutputReceiver out) {
      slices.drain((flow, key, start, floor, cells) ->
          out.get(PARTS).output(KV.of(new Place(flow, key), new Part(flow, start, floor, cells))));
    }
  }

  /** Finds the views of clicks that share a value, in the order of their arrival. */
  private static final class Join extends DoFn<KV<Shared, Iterable<JoinEvent>>, KV<Place, Part>> {
    private static final long serialVersionUID = 1;
    private final Config config;

    Join(Config config) {
      this.config = config;
    }

    @ProcessElement
    public void process(@Element KV<Shared, Iterable<JoinEvent>> element, OutputReceiver<KV<Place, Part>> out) {
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
      slices.drain((of, key, start, floor, cells) ->
          out.output(KV.of(new Place(of, key), new Part(of, start, floor, cells))));
    }

    private static boolean changesOf(Flow flow, int number, Slices slices, JoinEvent event, long feeds) {
      return count(flow, number, slices, event.watermark(), event.key(), event.time(), feeds, event.inputs(), 1);
    }

  }

  /** Merges the parts of a key into its windows, and makes their rows. */
  private static final class KeyRows extends DoFn<KV<Place, Iterable<Part>>, Line> {
    private static final long serialVersionUID = 1;
    private final Config config;
    private final long now;

    KeyRows(Config config, long now) {
      this.config = config;
      this.now = now;
    }

    @ProcessElement
    public void process(@Element KV<Place, Iterable<Part>> element, OutputReceiver<Line> out) {
      Place place = element.getKey();
      Flow flow = config.flows().get(place.flow());
      Rows rows = new Rows(flow);
      Rows.Firing firing = new Rows.Firing("ON_TIME", 0, Times.MAX, now);
      windows(flow, element.getValue()).forEach((window, cells) -> {
        // Clicks that moved to another view: in another order of arrival the key has no row.
        if (!flow.takesBack() || !cells.isZero()) {
          Metrics.distribution(METRICS, flow.name() + LAST_END).update(window.end());
          out.output(rows.line(place.flow(), place.key(), window, cells, firing));
        }
      });
    }

    private static Map<Window, Cells> windows(Flow flow, Iterable<Part> parts) {
      Map<Window, Cells> windows = new HashMap<>();
      if (flow.windows() instanceof Windows.Sessions sessions) {
        List<Part> sorted = new ArrayList<>();
        parts.forEach(sorted::add);
        sorted.sort(Comparator.comparingLong(Part::start));
        for (int from = 0; from < sorted.size(); ) {
          Cells cells = new Cells(flow);
          long end = sorted.get(from).start() + sessions.gap();
          int to = from;
          for (; to < sorted.size() && sorted.get(to).start() < end; to++) {
            cells.merge(sorted.get(to).cells());
            end = sorted.get(to).start() + sessions.gap();
          }
          windows.put(new Window(sorted.get(from).start(), end), cells);
          from = to;
        }
        return windows;
      }
      for (Part part : parts) {
        flow.windows().holding(part.start(), (start, end) -> {
          if (end >= part.floor()) {
            // Cells of an element are never changed: elements are shared between steps.
            windows.computeIfAbsent(new Window(start, end), of -> new Cells(flow)).merge(part.cells());
          }
        });
      }
      return windows;
    }
  }
}
