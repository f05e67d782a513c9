package aqueduct.beam;

import aqueduct.beam.Coders.Counted;
import aqueduct.beam.Coders.Part;
import aqueduct.beam.Coders.Place;
import aqueduct.beam.Coders.Shared;
import aqueduct.config.Config;
import aqueduct.count.Flow;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.JoinValue;
import aqueduct.count.Kept;
import aqueduct.count.Ledger;
import aqueduct.count.Line;
import aqueduct.count.Rows;
import aqueduct.count.Slices;
import aqueduct.count.Windows.Window;
import aqueduct.event.Times;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.List;
import java.util.function.Consumer;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.VarIntCoder;
import org.apache.beam.sdk.state.StateSpec;
import org.apache.beam.sdk.state.StateSpecs;
import org.apache.beam.sdk.state.TimeDomain;
import org.apache.beam.sdk.state.Timer;
import org.apache.beam.sdk.state.TimerSpec;
import org.apache.beam.sdk.state.TimerSpecs;
import org.apache.beam.sdk.state.ValueState;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PBegin;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TupleTagList;
import org.joda.time.Duration;
import org.joda.time.Instant;

/**
 * The flows over a stream. The source decides what is late and passes on parts of counts; joins keep state by value, and
 * windows by key. Beam's watermark is the clock of the source: a flow's own is its out-of-orderness behind it, so that
 * flows with different ones share a source.
 */
final class Streaming extends PTransform<PBegin, PCollection<Line>> {
  private static final long serialVersionUID = 1;
  private static final TupleTag<KV<Place, Part>> PARTS = new TupleTag<>() {};
  private static final TupleTag<KV<Shared, JoinEvent>> JOINS = new TupleTag<>() {};
  private static final TupleTag<Line> LINES = new TupleTag<>() {};
  private static final TupleTag<KV<Integer, Ledger>> LEDGERS = new TupleTag<>() {};

  private final Config config;
  private final PTransform<PBegin, PCollection<Counted>> source;
  private final int readers;

  /** {@code readers} is the number of readers that the source has. */
  Streaming(Config config, PTransform<PBegin, PCollection<Counted>> source, int readers) {
    this.config = config;
    this.source = source;
    this.readers = readers;
  }

  @Override
  public PCollection<Line> expand(PBegin begin) {
    KvCoder<Place, Part> parts = KvCoder.of(new Coders.OfPlace(), new Coders.OfPart(config));
    PCollectionTuple read = begin.apply("Read", source)
        .apply("Route", ParDo.of(new Route()).withOutputTags(PARTS, TupleTagList.of(JOINS).and(LINES).and(LEDGERS)));
    KvCoder<Integer, Ledger> ledgers = KvCoder.of(VarIntCoder.of(), new Coders.OfLedger());
    PCollection<KV<Integer, Ledger>> outcomes = read.get(LEDGERS).setCoder(ledgers);
    PCollection<KV<Place, Part>> all = read.get(PARTS).setCoder(parts);
    PCollection<KV<Shared, JoinEvent>> events = read.get(JOINS)
        .setCoder(KvCoder.of(new Coders.OfShared(), new Coders.OfJoinEvent()));
    if (config.flows().stream().anyMatch(flow -> flow.join() != null)) {
      PCollectionTuple joined =
          events.apply("Join", ParDo.of(new Join(config)).withOutputTags(PARTS, TupleTagList.of(LEDGERS)));
      all = PCollectionList.of(all).and(joined.get(PARTS).setCoder(parts))
          .apply("All parts", Flatten.pCollections());
      outcomes = PCollectionList.of(outcomes).and(joined.get(LEDGERS).setCoder(ledgers))
          .apply("All outcomes", Flatten.pCollections());
    }
    PCollectionTuple fired =
        all.apply("Windows", ParDo.of(new KeyWindows(config)).withOutputTags(LINES, TupleTagList.of(LEDGERS)));
    PCollection<Line> panes = fired.get(LINES).setCoder(new Coders.OfLine());
    outcomes = PCollectionList.of(outcomes).and(fired.get(LEDGERS).setCoder(ledgers))
        .apply("All numbers", Flatten.pCollections());
    PCollection<Line> progress =
        outcomes.apply("Progress", ParDo.of(new Progress(config, readers))).setCoder(new Coders.OfLine());
    return PCollectionList.of(panes).and(progress).and(read.get(LINES).setCoder(new Coders.OfLine()))
        .apply("All rows", Flatten.pCollections());
  }

  /** Where to set a timer that fires when the clock reaches a time: Beam's fire when it has passed theirs. */
  private static Instant before(long time) {
    long least = BoundedWindow.TIMESTAMP_MIN_VALUE.getMillis();
    return new Instant(Math.max(least, Math.min(Times.plus(time, -1), LAST)));
  }

  /** The time that the clock has reached when such a timer fires. */
  private static long reached(DoFn<?, ?>.OnTimerContext timed) {
    return timed.fireTimestamp().getMillis() + 1;
  }

  /** The last time for which a timer can be set; the windows of a table end before. */
  static final long LAST = GlobalWindow.INSTANCE.maxTimestamp().getMillis();

  private static final class Route extends DoFn<Counted, KV<Place, Part>> {
    private static final long serialVersionUID = 1;

    @ProcessElement
    public void process(@Element Counted element, MultiOutputReceiver out) {
      if (element.part() != null) {
        out.get(PARTS).output(element.part());
      } else if (element.join() != null) {
        out.get(JOINS).output(element.join());
      } else if (element.line() != null) {
        out.get(LINES).output(element.line());
      } else {
        out.get(LEDGERS).output(KV.of(element.ledger().flow(), element.ledger()));
      }
    }
  }

  /** Finds the views of clicks that share a value, in whatever order they arrive. */
  private static final class Join extends DoFn<KV<Shared, JoinEvent>, KV<Place, Part>> {
    private static final long serialVersionUID = 1;
    private final Config config;

    @StateId("value")
    private final StateSpec<ValueState<Joined>> values;

    @TimerId("forget")
    private final TimerSpec forget = TimerSpecs.timer(TimeDomain.EVENT_TIME);

    Join(Config config) {
      this.config = config;
      values = StateSpecs.value(new OfJoined(config));
    }

    @ProcessElement
    public void process(@Element KV<Shared, JoinEvent> element, @StateId("value") ValueState<Joined> state,
        @TimerId("forget") Timer timer, MultiOutputReceiver out) {
      int number = element.getKey().flow();
      Flow flow = config.flows().get(number);
      JoinEvent event = element.getValue();
      Joined known = state.read();
      JoinValue value = known == null ? new JoinValue(flow, null) : known.value;
      Slices slices = new Slices(config.flows());
      long watermark = event.watermark();
      value.to((key, time, feeds, inputs, times) ->
          Bounded.count(flow, number, slices, watermark, key, time, feeds, inputs, times));
      boolean isAlone = !value.arrives(event) && !event.isView();
      boolean counts = isAlone && Bounded.count(flow, number, slices, watermark, event.key(), event.time(),
          event.feeds() | flow.feeds(Flow.Source.CLICKS), event.inputs(), 1);
      account(number, value, isAlone && event.countsAlone() ? (counts ? 1 : -1) : 0, out);
      keep(number, value, state, timer);
      slices.drain((of, key, start, floor, cells) -> out.get(PARTS).output(
          KV.of(new Place(of, key), new Part(of, start, floor, flow.passed(start, watermark), cells))));
    }

    @OnTimer("forget")
    public void forget(@Key Shared key, OnTimerContext timed, @StateId("value") ValueState<Joined> state,
        @TimerId("forget") Timer timer, MultiOutputReceiver out) {
      Joined known = state.read();
      if (known != null) {
        Flow flow = config.flows().get(key.flow());
        known.value.expire(Times.minus(reached(timed), flow.outOfOrderness()));
        account(key.flow(), known.value, 0, out);
        keep(key.flow(), known.value, state, timer);
      }
    }

    /** Reports the clicks whose outcome has become known; {@code alone} is -1 or 1 for one that was not joined. */
    private static void account(int number, JoinValue value, int alone, MultiOutputReceiver out) {
      long counted = value.found + Math.max(0, alone);
      long unmatched = value.unmatched;
      value.found = 0;
      value.unmatched = 0;
      if (counted != 0 || unmatched != 0 || alone != 0) {
        out.get(LEDGERS).output(KV.of(number, Ledger.known(number, counted, unmatched, Math.max(0, -alone))));
      }
    }

    private void keep(int number, JoinValue value, ValueState<Joined> state, Timer timer) {
      if (value.due() == Times.MAX) {
        state.clear();
        return;
      }
      value.to(null);
      state.write(new Joined(number, value));
      timer.set(before(Times.plus(value.due(), config.flows().get(number).outOfOrderness())));
    }
  }

  /** The views and clicks of a value of a flow. */
  private record Joined(int flow, JoinValue value) {}

  private static final class OfJoined extends Coders.Fields<Joined> {
    private static final long serialVersionUID = 1;
    private final Config config;

    OfJoined(Config config) {
      this.config = config;
    }

    @Override
    void write(Joined joined, DataOutputStream out) throws IOException {
      out.writeShort(joined.flow);
      joined.value.write(out);
    }

    @Override
    Joined read(DataInputStream in) throws IOException {
      int flow = in.readShort();
      return new Joined(flow, JoinValue.read(config.flows().get(flow), in));
    }
  }

  /**
   * Passes rows on when the checkpoint that holds them is durable, so that after a crash the same rows are written again,
   * and no others in their place: for a sink they are repetitions.
   */
  static final class Stable extends DoFn<Line, Line> {
    private static final long serialVersionUID = 1;

    @RequiresStableInput
    @ProcessElement
    public void process(@Element Line row, OutputReceiver<Line> out) {
      out.output(row);
    }
  }

  /** Keeps the windows of a key, and fires their panes. */
  private static final class KeyWindows extends DoFn<KV<Place, Part>, Line> {
    private static final long serialVersionUID = 1;
    private final Config config;
    private transient List<Rows> rows;

    @StateId("windows")
    private final StateSpec<ValueState<Windowed>> windows;

    @TimerId("due")
    private final TimerSpec due = TimerSpecs.timer(TimeDomain.EVENT_TIME);

    @TimerId("early")
    private final TimerSpec early = TimerSpecs.timer(TimeDomain.PROCESSING_TIME);

    KeyWindows(Config config) {
      this.config = config;
      windows = StateSpecs.value(new OfWindowed(config));
    }

    @ProcessElement
    public void process(@Element KV<Place, Part> element, @StateId("windows") ValueState<Windowed> state,
        @TimerId("due") Timer timer, @TimerId("early") Timer earlyTimer) {
      Part part = element.getValue();
      Flow flow = config.flows().get(part.flow());
      Windowed known = state.read();
      Kept kept = known == null ? Kept.of(flow) : known.kept;
      kept.add(part.start(), part.floor(), part.passed(), part.cells());
      boolean isSet = known != null && known.isEarlySet;
      if (flow.early() != null && !isSet) {
        earlyTimer.offset(Duration.millis(flow.early())).setRelative();
      }
      state.write(new Windowed(part.flow(), kept, flow.early() != null));
      set(timer, flow, kept);
    }

    @OnTimer("due")
    public void due(@Key Place place, OnTimerContext timed, @StateId("windows") ValueState<Windowed> state,
        @TimerId("due") Timer timer, MultiOutputReceiver out) {
      Windowed known = state.read();
      if (known == null) {
        return;
      }
      Flow flow = config.flows().get(place.flow());
      Kept kept = known.kept;
      long due = Times.minus(reached(timed), flow.outOfOrderness());
      fire(place, out,
          panes -> kept.advance(Math.max(due, watermark(flow, timer)), System.currentTimeMillis(), panes));
      if (kept.isEmpty()) {
        state.clear();
      } else {
        state.write(known);
        set(timer, flow, kept);
      }
    }

    @OnTimer("early")
    public void early(@Key Place place, @StateId("windows") ValueState<Windowed> state, @TimerId("due") Timer timer,
        MultiOutputReceiver out) {
      Windowed known = state.read();
      if (known != null) {
        long watermark = watermark(config.flows().get(place.flow()), timer);
        fire(place, out, panes -> known.kept.early(watermark, System.currentTimeMillis(), panes));
        state.write(new Windowed(known.flow, known.kept, false));
      }
    }

    private void fire(Place place, MultiOutputReceiver out, Consumer<Kept.Panes> kept) {
      if (rows == null) {
        rows = config.flows().stream().map(Rows::new).toList();
      }
      Rows of = rows.get(place.flow());
      long[] panes = {0};
      kept.accept((start, end, cells, firing) -> {
        panes[0]++;
        out.get(LINES).output(of.line(place.flow(), place.key(), new Window(start, end), cells, firing));
      });
      if (panes[0] > 0) {
        out.get(LEDGERS).output(KV.of(place.flow(), Ledger.fired(place.flow(), panes[0])));
      }
    }

    /** The watermark of a flow. It may have passed the time of a timer: then many windows fire at once. */
    private static long watermark(Flow flow, Timer timer) {
      long clock = timer.getCurrentRelativeTime().getMillis();
      return clock < LAST ? Times.minus(clock, flow.outOfOrderness()) : Times.MAX;
    }

    private static void set(Timer timer, Flow flow, Kept kept) {
      timer.set(before(Times.plus(kept.due(), flow.outOfOrderness())));
    }
  }

  /** The windows of a key of a flow, and whether a timer for EARLY panes is set. */
  private record Windowed(int flow, Kept kept, boolean isEarlySet) {}

  private static final class OfWindowed extends Coders.Fields<Windowed> {
    private static final long serialVersionUID = 1;
    private final Config config;

    OfWindowed(Config config) {
      this.config = config;
    }

    @Override
    void write(Windowed windowed, DataOutputStream out) throws IOException {
      out.writeShort(windowed.flow);
      out.writeBoolean(windowed.isEarlySet);
      windowed.kept.write(out);
    }

    @Override
    Windowed read(DataInputStream in) throws IOException {
      int flow = in.readShort();
      boolean isEarlySet = in.readBoolean();
      return new Windowed(flow, Kept.read(config.flows().get(flow), in), isEarlySet);
    }
  }
}
