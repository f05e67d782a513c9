package aqueduct.stream;

import aqueduct.config.Config;
import aqueduct.config.Stream;
import aqueduct.count.Cells;
import aqueduct.count.Codec;
import aqueduct.count.Intake;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Intake.Origin;
import aqueduct.count.Intake.Outcome;
import aqueduct.count.Intake.Verdict;
import aqueduct.count.Ledger;
import aqueduct.count.Line;
import aqueduct.count.Reader;
import aqueduct.count.Reader.Digest;
import aqueduct.count.Reader.Refusal;
import aqueduct.count.Refused;
import aqueduct.count.Rows;
import aqueduct.count.Slices;
import aqueduct.event.Json;
import aqueduct.event.Times;
import aqueduct.frontier.CaughtUp;
import aqueduct.frontier.Clocks;
import aqueduct.frontier.Frontier;
import aqueduct.frontier.Frontier.Abandoned;
import aqueduct.frontier.Frontier.Covered;
import aqueduct.frontier.Frontier.Share;
import aqueduct.frontier.Mark;
import aqueduct.frontier.Mark.Partition;
import aqueduct.frontier.Ranges.Range;
import aqueduct.frontier.Track.Arrival;
import aqueduct.stream.Messages.Item;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Counts messages and marks as they arrive: each record once, by its position, with the watermark that the marks allow. It
 * is a state machine without a clock and without I/O; what it knows is saved with each checkpoint.
 */
public final class Core {
  /** Takes what the core passes on. */
  public interface Sink {
    /** What was counted in a slice; {@code passed} is the watermark then, if it had reached the end of a window. */
    void part(int flow, byte[] key, long start, long floor, long passed, Cells cells);

    void join(JoinEvent event);

    /** A row that is complete: a dead letter. */
    void line(Line line);
  }

  /** Message counts since the start, for metrics. */
  public long records;

  public long redelivered;
  public long marks;

  private static final int VERSION = 3;

  private final Config config;
  private final Stream stream;
  private final Share share;
  private final Frontier.Limits limits;
  private final boolean mayBeCold;
  private final Sink sink;
  private final Reader reader;
  private final Intake intake;
  private final Slices slices;
  private final Frontier frontier;
  private final Rejected rejected = new Rejected(Rejected.REMEMBERED);
  private final CaughtUp caughtUp;
  private final String kind;
  /** The clocks of messages without positions, null if none has arrived, and the highest publish time. */
  private Clocks unpositioned;

  private long published = Times.MIN;
  /** How many messages without positions were counted, and how many dead letters have a position. */
  private long unpositionedCount;

  private long deadLetters;
  /** Whether it must not go on, because it has another state than its subscription. */
  private boolean isRefused;
  private long clock = Times.MIN;

  /** {@code mayBeCold}: whether it may begin without a state where messages were acknowledged before. */
  public Core(Config config, Stream stream, int shard, boolean mayBeCold, Sink sink, long now) {
    this.config = config;
    this.stream = stream;
    share = new Share(shard, stream.shards());
    limits = new Frontier.Limits(stream.idleAfter(), stream.holeLimit(), stream.coldStart());
    this.mayBeCold = mayBeCold;
    this.sink = sink;
    reader = new Reader(config.events(), config.flows());
    slices = new Slices(config.flows());
    frontier = new Frontier(share);
    caughtUp = new CaughtUp(now);
    kind = config.flows().get(0).time();
    intake = new Intake(config, new Intake.Sink() {
      @Override
      public void count(int flow, byte[] key, long slice, long floor, long feeds, Object[] inputs) {
        slices.count(flow, key, slice, floor, feeds, inputs, 1);
      }

      @Override
      public void join(JoinEvent event) {
        sink.join(event);
      }
    });
  }

  /** Counts the records of a message of the data topic. */
  public void data(Map<String, String> attributes, byte[] data, long publishTime, long now) throws Unreadable {
    for (Item item : Messages.read(attributes, data)) {
      // Without filters on its subscription, a reader receives the records of all.
      if (item.partition() == null ? share.part() == 0 : share.has(item.partition().number())) {
        count(item, new Origin(item.kafkaTime(), publishTime), now);
      }
    }
  }

  private void count(Item item, Origin origin, long now) {
    Partition partition = item.partition();
    Digest digest = null;
    String reason = item.event() == null ? "damaged-pack" : null;
    if (reason == null) {
      try {
        digest = reader.read(item.event(), partition == null ? "" : partition.topic(), origin.kafkaTime(),
            origin.publishTime());
      } catch (Json.Bad bad) {
        reason = bad.getMessage();
      }
    }
    Refused before = null;
    if (partition == null) {
      takeUnpositioned(digest, origin);
    } else {
      Clocks of = digest == null ? Clocks.NONE : Clocks.of(digest.time(), origin.kafkaTime(), origin.publishTime());
      Arrival arrival = frontier.data(partition, item.offset(), of);
      if (arrival == Arrival.SEEN) {
        before = rejected.get(partition, item.offset());
        if (before == null || before.redrive() >= item.redrive()) {
          redelivered++;
          return;
        }
      } else if (arrival != Arrival.NEW) {
        intake.account(arrival == Arrival.RETAKEN_LOST ? Outcome.LOST : Outcome.ABSENT, -1);
      }
    }
    if (before == null) {
      records++;
      published = Math.max(published, origin.publishTime());
    }
    caughtUp.firstSeen(origin.publishTime(), now);
    Verdict verdict = digest == null ? intake.refuse(new Refusal(reason, null), before) : intake.count(digest, origin, before);
    if (partition != null && (before != null || !verdict.refused().isEmpty())) {
      boolean isTaken = verdict.isTaken() || before != null && before.isTaken();
      rejected.set(partition, new Range(item.offset(), item.offset() + 1),
          new Refused(verdict.refused(), isTaken, item.redrive()));
    }
    if (verdict.refusal() != null) {
      // A redriven record that is rejected again has the position of the line before.
      deadLetters += partition == null || before != null ? 0 : 1;
      sink.line(partition == null ? Rows.deadLetter("", -1, origin.publishTime(), "processor", verdict.refusal(), now)
          : Rows.deadLetter(partition.topic(), partition.number(), item.offset(), "processor", verdict.refusal(), now));
    }
  }

  /** Without a position, only bounded disorder applies. */
  private void takeUnpositioned(Digest digest, Origin origin) {
    unpositionedCount++;
    Long kafkaTime = origin.kafkaTime() == null ? Long.valueOf(origin.publishTime()) : origin.kafkaTime();
    Clocks of = digest == null ? Clocks.NONE : Clocks.of(digest.time(), kafkaTime, origin.publishTime());
    unpositioned = unpositioned == null ? of : unpositioned.max(of);
  }

  /** Applies a message of the marks topic; one that is not a mark is ignored, because no connector wrote it. */
  public void mark(byte[] data, long publishTime, long now) throws Unreadable, IOException {
    Mark mark;
    try {
      mark = Mark.parse(data);
    } catch (Mark.Unreadable newer) {
      throw new Unreadable(newer.getMessage());
    }
    if (mark == null) {
      return;
    }
    String unread = stream.unread(mark.outputs());
    if (unread != null) {
      throw new Unreadable("the connector publishes to " + unread + ", which this pipeline does not read; give both the "
          + "same [pubsub] section, run `aqueduct setup`, and start the pipeline from its last checkpoint");
    }
    marks++;
    caughtUp.mark(publishTime, now);
    for (Covered covered : frontier.mark(mark, publishTime, now)) {
      long offsets = covered.offsets().end() - covered.offsets().start();
      Outcome outcome = outcome(covered.reason());
      intake.account(outcome, offsets);
      if (outcome == Outcome.REJECTED) {
        rejected.set(covered.partition(), covered.offsets(), Refused.byAll(config.flows().size()));
      }
      for (long offset = covered.offsets().start(); outcome == Outcome.REJECTED && offset < covered.offsets().end();
          offset++) {
        deadLetters++;
        String code = covered.reason().startsWith("rejected:") ? covered.reason().substring(9) : covered.reason();
        sink.line(Rows.deadLetter(covered.partition().topic(), covered.partition().number(), offset, "connector",
            new Refusal(code, covered.pointer()), now));
      }
    }
  }

  private static Outcome outcome(String reason) {
    return switch (reason) {
      case "filtered" -> Outcome.FILTERED;
      case "empty", "before" -> Outcome.ABSENT;
      case "lost" -> Outcome.LOST;
      default -> Outcome.REJECTED;
    };
  }

  /** Whether no more events should be counted before {@link #advance}. */
  public boolean isFull() {
    return slices.isFull();
  }

  /**
   * Passes on what was counted, then moves the watermark. The two belong together: what is passed on was counted under the
   * watermark before.
   *
   * @throws Unreadable if messages were acknowledged before this state began, and that is not expected
   */
  public List<Abandoned> advance(long now) throws Unreadable {
    pass();
    List<Abandoned> abandoned = frontier.tick(now, caughtUp.is(now), limits);
    rejected.retain(frontier::knows);
    for (Abandoned hole : abandoned) {
      if (hole.beforeStart() && !mayBeCold) {
        isRefused = true;
        throw new Unreadable("the subscription " + stream.subscription() + " was read before: offsets "
            + hole.offsets().start() + " to " + (hole.offsets().end() - 1) + " of " + hole.partition().topic() + "/"
            + hole.partition().number() + " are acknowledged, and this pipeline has no state of them; start it from its "
            + "last savepoint or checkpoint, or with --startWithoutState=true, which counts what is left; no message was "
            + "acknowledged, so nothing is lost");
      }
      intake.account(hole.beforeStart() ? Outcome.ABSENT : Outcome.LOST, hole.offsets().end() - hole.offsets().start());
    }
    long next = time(clocks(now));
    if (next != Times.MIN) {
      clock = Math.max(clock, next);
      intake.advance(clock);
    }
    return abandoned;
  }

  /** Passes on everything that was counted. */
  public void pass() {
    slices.drain((flow, key, start, floor, cells) ->
        sink.part(flow, key, start, floor, config.flows().get(flow).passed(start, intake.watermark(flow)), cells));
  }

  private Clocks clocks(long now) {
    Clocks bound = frontier.advance(limits);
    if (unpositioned == null) {
      return bound;
    }
    if (caughtUp.is(now)) {
      published = Math.max(published, now);
    }
    Clocks others = new Clocks(unpositioned.event(), unpositioned.kafka(), published);
    return frontier.isMarked() ? bound.min(others) : others;
  }

  private long time(Clocks clocks) {
    return switch (kind) {
      case "event" -> clocks.event();
      case "kafka" -> clocks.kafka();
      default -> clocks.published();
    };
  }

  /** The clock of the flows' kind of time: a flow's watermark is its out-of-orderness behind it. */
  public long clock() {
    return clock;
  }

  /** Whether messages may be acknowledged: not while the state may be the wrong one. */
  public boolean mayAcknowledge() {
    return mayBeCold || !isRefused && (!frontier.isCold() || frontier.hasBegun(limits));
  }

  /** What an operator looks at, for the log. */
  public String report() {
    return "records " + records + ", copies " + redelivered + ", marks " + marks + ", missing " + frontier.missing()
        + ", clock " + (clock == Times.MIN ? "unknown" : Times.text(clock));
  }

  /** The outcomes of all offsets, for each flow. */
  public List<Ledger> ledgers(long now) {
    List<Ledger> ledgers = new ArrayList<>();
    Ledger.Accounted accounted =
        new Ledger.Accounted(frontier.accounted() + unpositionedCount, deadLetters, frontier.partitions());
    for (int flow = 0; flow < config.flows().size(); flow++) {
      ledgers.add(
          Ledger.total(flow, share.part(), now, intake.watermark(flow), intake.ledgers().get(flow), accounted));
    }
    return ledgers;
  }

  /** Saves everything. What was counted must have been passed on. */
  public void write(DataOutput out) throws IOException {
    out.writeByte(VERSION);
    Codec.writeLong(out, stream.shards());
    frontier.write(out);
    intake.write(out);
    out.writeBoolean(unpositioned != null);
    if (unpositioned != null) {
      unpositioned.write(out);
    }
    Codec.writeLong(out, unpositionedCount);
    Codec.writeLong(out, deadLetters);
    Codec.writeLong(out, published);
    Codec.writeLong(out, clock);
    rejected.write(out);
  }

  /** Restores what was saved into a new core. */
  public void read(DataInput in) throws IOException {
    int version = in.readByte();
    if (version != VERSION) {
      throw new IOException("the state has version " + version + ", and this program reads version " + VERSION
          + "; start the program that wrote it");
    }
    long shards = Codec.readLong(in);
    if (shards != stream.shards()) {
      throw new IOException("the state was saved with pubsub.shards = " + shards + "; restore that number");
    }
    frontier.read(in);
    intake.read(in);
    unpositioned = in.readBoolean() ? Clocks.read(in) : null;
    unpositionedCount = Codec.readLong(in);
    deadLetters = Codec.readLong(in);
    published = Codec.readLong(in);
    clock = Codec.readLong(in);
    rejected.read(in);
  }
}
