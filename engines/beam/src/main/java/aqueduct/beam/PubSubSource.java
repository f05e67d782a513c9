package aqueduct.beam;

import aqueduct.beam.Coders.Counted;
import aqueduct.beam.Coders.OfCounted;
import aqueduct.beam.Coders.Part;
import aqueduct.config.Config;
import aqueduct.config.Stream;
import aqueduct.count.Cells;
import aqueduct.count.Codec;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Line;
import aqueduct.event.Times;
import aqueduct.frontier.Frontier.Abandoned;
import aqueduct.stream.Core;
import aqueduct.stream.Unreadable;
import com.google.auth.Credentials;
import com.google.protobuf.Timestamp;
import com.google.pubsub.v1.PubsubMessage;
import com.google.pubsub.v1.ReceivedMessage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.extensions.gcp.options.GcpOptions;
import org.apache.beam.sdk.io.UnboundedSource;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.joda.time.Instant;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Events and marks of Pub/Sub, counted exactly once: a reader keeps the frontier in its checkpoint mark, and acknowledges
 * a message when a checkpoint with it is durable. With shards there is a reader for each.
 */
final class PubSubSource extends UnboundedSource<Counted, PubSubSource.Saved> {
  private static final long serialVersionUID = 1;
  private static final Logger LOG = LoggerFactory.getLogger(PubSubSource.class);
  /** How often what was counted is passed on and the watermark moves. */
  private static final long PERIOD_MILLIS = 250;
  private static final long REPORT_MILLIS = 10_000;
  private static final long PROGRESS_MILLIS = 60_000;
  /** How long a call may count before it returns, so that a checkpoint need not wait. */
  private static final long CALL_MILLIS = 50;

  private final Config config;
  private final StreamOptions options;
  /** Of one reader; -1 before the source is split. */
  private final int shard;

  /** What the source needs besides the configuration. */
  record StreamOptions(Stream stream, String emulator, boolean mayBeCold) implements java.io.Serializable {}

  PubSubSource(Config config, StreamOptions options) {
    this(config, options, -1);
  }

  private PubSubSource(Config config, StreamOptions options, int shard) {
    this.config = config;
    this.options = options;
    this.shard = shard;
  }

  /** How many readers there are, whatever the parallelism. */
  int readers() {
    return options.stream.shards();
  }

  @Override
  public List<PubSubSource> split(int desired, PipelineOptions of) {
    List<PubSubSource> readers = new ArrayList<>();
    for (int n = 0; n < options.stream.shards(); n++) {
      readers.add(new PubSubSource(config, options, n));
    }
    return readers;
  }

  @Override
  public UnboundedReader<Counted> createReader(PipelineOptions of, Saved saved) throws IOException {
    Credentials credentials = options.emulator == null ? of.as(GcpOptions.class).getGcpCredential() : null;
    return new Reader(this, credentials, saved);
  }

  @Override
  public Coder<Saved> getCheckpointMarkCoder() {
    return new OfSaved();
  }

  @Override
  public Coder<Counted> getOutputCoder() {
    return new OfCounted(config);
  }

  /** The state of a reader. One that was read from a checkpoint has nothing to acknowledge. */
  static final class Saved implements UnboundedSource.CheckpointMark {
    private final byte[] state;
    private final Leases leases;
    private final long upTo;

    Saved(byte[] state, Leases leases, long upTo) {
      this.state = state;
      this.leases = leases;
      this.upTo = upTo;
    }

    @Override
    public void finalizeCheckpoint() {
      if (leases != null) {
        leases.acknowledge(upTo);
      }
    }
  }

  private static final class OfSaved extends Coders.Fields<Saved> {
    private static final long serialVersionUID = 1;

    @Override
    void write(Saved saved, DataOutputStream out) throws IOException {
      Codec.writeBytes(out, saved.state);
    }

    @Override
    Saved read(DataInputStream in) throws IOException {
      return new Saved(Codec.readBytes(in), null, 0);
    }
  }

  /** Counts what is pulled, on the thread of the runner. */
  private static final class Reader extends UnboundedReader<Counted> implements Core.Sink {
    private final PubSubSource source;
    private final Credentials credentials;
    private final Core core;
    private final OfCounted coder;
    private final ArrayDeque<Counted> ready = new ArrayDeque<>();
    private Pulls pulls;
    private Counted current;
    private long advancedAt;
    private long reportedAt;
    private long progressAt;
    /** The clock that holds once everything that is ready has been read, and the one that holds now. */
    private long next = Times.MIN;

    private long watermark = Times.MIN;
    /** Whether it is known that it may go on: until then nothing is passed on, as a pipeline that is refused writes no row. */
    private boolean mayPass;

    Reader(PubSubSource source, Credentials credentials, Saved saved) throws IOException {
      this.source = source;
      this.credentials = credentials;
      coder = new OfCounted(source.config);
      StreamOptions options = source.options;
      core = new Core(source.config, options.stream, Math.max(0, source.shard), options.mayBeCold, this,
          System.currentTimeMillis());
      if (saved != null) {
        restore(saved.state);
      }
    }

    private void restore(byte[] state) throws IOException {
      DataInputStream in = new DataInputStream(new ByteArrayInputStream(state));
      core.read(in);
      next = Codec.readLong(in);
      watermark = Codec.readLong(in);
      for (long left = Codec.readLong(in); left > 0; left--) {
        ready.add(coder.read(in));
      }
    }

    @Override
    public boolean start() throws IOException {
      Stream stream = source.options.stream;
      int shard = Math.max(0, source.shard);
      mayPass = core.mayAcknowledge();
      pulls = new Pulls(source.options.emulator, credentials, stream.subscriptions(shard), stream.marks(shard));
      return advance();
    }

    @Override
    public boolean advance() throws IOException {
      long began = System.currentTimeMillis();
      for (long now = began; ; now = System.currentTimeMillis()) {
        if (mayPass) {
          current = ready.poll();
          if (current != null) {
            return true;
          }
          watermark = next;
        }
        try {
          boolean isCounted = count(now);
          if (core.isFull() || now >= advancedAt + PERIOD_MILLIS) {
            advancedAt = now;
            // Everything was counted under the clock before, which the watermark has not reached yet.
            core.advance(now).forEach(Reader::report);
            mayPass |= core.mayAcknowledge();
            next = core.clock();
            if (next != Times.MIN && now >= progressAt + PROGRESS_MILLIS) {
              progressAt = now;
              core.ledgers(now).forEach(ledger -> ready.add(Counted.of(ledger)));
            }
            if (now >= reportedAt + REPORT_MILLIS) {
              reportedAt = now;
              LOG.info("{}", core.report());
            }
          } else if (!isCounted || now >= began + CALL_MILLIS) {
            return false;
          }
        } catch (Unreadable error) {
          // Without its cause, which would be reported in its place.
          throw new IOException(error.getMessage());
        }
      }
    }

    private boolean count(long now) throws IOException, Unreadable {
      Pulls.Response response = pulls.poll();
      if (response == null) {
        return false;
      }
      for (ReceivedMessage received : response.messages()) {
        PubsubMessage message = received.getMessage();
        long published = millis(message.getPublishTime());
        if (response.isMarks()) {
          core.mark(message.getData().toByteArray(), published, now);
        } else {
          core.data(message.getAttributesMap(), message.getData().toByteArray(), published, now);
        }
      }
      pulls.leases().counted(response.batch());
      return true;
    }

    private static long millis(Timestamp time) {
      return time.getSeconds() * 1_000 + time.getNanos() / 1_000_000;
    }

    private static void report(Abandoned hole) {
      LOG.warn("offsets {} to {} of {}/{} {}", hole.offsets().start(), hole.offsets().end() - 1, hole.partition().topic(),
          hole.partition().number(), hole.beforeStart() ? "were acknowledged before this pipeline began"
              : "were published and did not arrive within state.hole_limit; they count as lost");
    }

    @Override
    public void part(int flow, byte[] key, long start, long floor, long passed, Cells cells) {
      ready.add(Counted.of(key, new Part(flow, start, floor, passed, cells)));
    }

    @Override
    public void join(JoinEvent event) {
      ready.add(Counted.of(event));
    }

    @Override
    public void line(Line line) {
      ready.add(Counted.of(line));
    }

    @Override
    public Counted getCurrent() {
      if (current == null) {
        throw new NoSuchElementException();
      }
      return current;
    }

    /** Windows are not Beam's, so that a time only has to be behind no watermark. */
    @Override
    public Instant getCurrentTimestamp() {
      return instant(watermark);
    }

    @Override
    public Instant getWatermark() {
      return instant(watermark);
    }

    @Override
    public Saved getCheckpointMark() {
      core.pass();
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      DataOutputStream out = new DataOutputStream(bytes);
      try {
        core.write(out);
        Codec.writeLong(out, next);
        Codec.writeLong(out, watermark);
        Codec.writeLong(out, ready.size());
        for (Counted element : ready) {
          coder.write(element, out);
        }
      } catch (IOException impossible) {
        throw new IllegalStateException(impossible);
      }
      Leases leases = pulls == null ? null : pulls.leases();
      boolean mayAcknowledge = leases != null && core.mayAcknowledge();
      return new Saved(bytes.toByteArray(), mayAcknowledge ? leases : null, mayAcknowledge ? leases.last() : 0);
    }

    @Override
    public UnboundedSource<Counted, ?> getCurrentSource() {
      return source;
    }

    @Override
    public void close() {
      if (pulls != null) {
        pulls.close();
      }
    }
  }

  private static Instant instant(long time) {
    long least = BoundedWindow.TIMESTAMP_MIN_VALUE.getMillis();
    long most = BoundedWindow.TIMESTAMP_MAX_VALUE.getMillis();
    return new Instant(Math.max(least, Math.min(most, time)));
  }
}
