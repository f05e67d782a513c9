package aqueduct.beam;

import com.google.auth.Credentials;
import com.google.pubsub.v1.ReceivedMessage;
import com.google.pubsub.v1.StreamingPullRequest;
import com.google.pubsub.v1.StreamingPullResponse;
import com.google.pubsub.v1.SubscriberGrpc;
import com.google.pubsub.v1.SubscriberGrpc.SubscriberStub;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.auth.MoreCallCredentials;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The streaming pulls of a reader: several for each subscription for events, and one for marks. */
final class Pulls implements AutoCloseable {
  /** One response. */
  record Response(boolean isMarks, List<ReceivedMessage> messages, Leases.Batch batch) {}

  private static final Logger LOG = LoggerFactory.getLogger(Pulls.class);
  private static final int STREAMS = 4;
  /** What is delivered before it is acknowledged: as much as arrives between two checkpoints. */
  private static final long MOST_MESSAGES = 200_000;

  private static final long MOST_BYTES = 256L << 20;
  private static final int RESPONSES_AHEAD = 16;
  private static final int MOST_RESPONSE = 32 << 20;
  private static final int LEASE_SECONDS = 60;
  /** An emulator delivers to the streams of killed clients, too, so messages have to come back soon. */
  private static final int EMULATOR_LEASE_SECONDS = 10;

  private static final Set<Status.Code> PERMANENT = Set.of(Status.Code.NOT_FOUND, Status.Code.PERMISSION_DENIED,
      Status.Code.UNAUTHENTICATED, Status.Code.INVALID_ARGUMENT, Status.Code.FAILED_PRECONDITION);

  /** Channels are never closed: a checkpoint may be finalised when no reader is left. */
  private static final Map<String, ManagedChannel> CHANNELS = new ConcurrentHashMap<>();

  private static final Set<Leases> ALL = ConcurrentHashMap.newKeySet();
  private static final ScheduledExecutorService TIMER = Executors.newSingleThreadScheduledExecutor(task -> {
    Thread thread = new Thread(task, "aqueduct-leases");
    thread.setDaemon(true);
    return thread;
  });

  static {
    TIMER.scheduleWithFixedDelay(() -> ALL.forEach(leases -> leases.extend(System.currentTimeMillis())), 1, 1,
        TimeUnit.SECONDS);
  }

  private final SubscriberStub stub;
  private final Leases leases;
  private final ArrayBlockingQueue<Response> responses = new ArrayBlockingQueue<>(RESPONSES_AHEAD);
  private final List<StreamObserver<StreamingPullRequest>> streams = new ArrayList<>();
  private volatile boolean isClosed;
  private volatile IOException failure;

  /** {@code emulator} is host and port of an emulator, null for Google Cloud; then the credentials are used. */
  Pulls(String emulator, Credentials credentials, List<String> subscriptions, String marks) {
    ManagedChannel channel = CHANNELS.computeIfAbsent(emulator == null ? "" : emulator, Pulls::channel);
    CallOptions calls = emulator == null && credentials != null
        ? CallOptions.DEFAULT.withCallCredentials(MoreCallCredentials.from(credentials)) : CallOptions.DEFAULT;
    stub = SubscriberGrpc.newStub(channel).withCallCredentials(calls.getCredentials());
    leases = new Leases(SubscriberGrpc.newFutureStub(channel).withCallCredentials(calls.getCredentials()),
        emulator == null ? LEASE_SECONDS : EMULATOR_LEASE_SECONDS);
    ALL.add(leases);
    for (String subscription : subscriptions) {
      for (int n = 0; n < STREAMS; n++) {
        new Pull(subscription, false, (long) STREAMS * subscriptions.size()).open();
      }
    }
    new Pull(marks, true, 1).open();
  }

  private static ManagedChannel channel(String emulator) {
    ManagedChannelBuilder<?> builder = emulator.isEmpty() ? ManagedChannelBuilder.forTarget("pubsub.googleapis.com:443")
        : ManagedChannelBuilder.forTarget(emulator).usePlaintext();
    return builder.maxInboundMessageSize(MOST_RESPONSE).keepAliveTime(60, TimeUnit.SECONDS).build();
  }

  /** The next response; null if there is none now. */
  Response poll() throws IOException {
    if (failure != null) {
      throw failure;
    }
    return responses.poll();
  }

  Leases leases() {
    return leases;
  }

  @Override
  public void close() {
    isClosed = true;
    // What was counted comes again when its lease is over, unless a checkpoint that covers it is finalised before.
    ALL.remove(leases);
    synchronized (streams) {
      for (StreamObserver<StreamingPullRequest> stream : streams) {
        stream.onError(Status.CANCELLED.asRuntimeException());
      }
      streams.clear();
    }
    leases.giveBack();
    responses.clear();
  }

  /** One streaming pull, which is opened again whenever it ends. */
  private final class Pull implements StreamObserver<StreamingPullResponse> {
    /** The length of a stream that was no use, and how many of them in a row are an outage. */
    private static final long SHORT_MILLIS = 1_000;

    private static final int OUTAGE = 5;

    private final String subscription;
    private final boolean isMarks;
    private final StreamingPullRequest opening;
    private StreamObserver<StreamingPullRequest> requests;
    private long wait = 100;
    private long openedAt;
    private int failures;

    Pull(String subscription, boolean isMarks, long share) {
      this.subscription = subscription;
      this.isMarks = isMarks;
      opening = StreamingPullRequest.newBuilder().setSubscription(subscription)
          .setStreamAckDeadlineSeconds(leases.seconds()).setClientId(UUID.randomUUID().toString())
          .setMaxOutstandingMessages(MOST_MESSAGES / share).setMaxOutstandingBytes(MOST_BYTES / share).build();
    }

    void open() {
      synchronized (streams) {
        if (isClosed) {
          return;
        }
        openedAt = System.currentTimeMillis();
        requests = stub.streamingPull(this);
        streams.add(requests);
      }
      requests.onNext(opening);
    }

    @Override
    public void onNext(StreamingPullResponse response) {
      if (isMarks && failures >= OUTAGE) {
        LOG.warn("{} answers again", subscription);
      }
      wait = 100;
      failures = 0;
      List<ReceivedMessage> messages = response.getReceivedMessagesList();
      List<String> ids = new ArrayList<>(messages.size());
      messages.forEach(message -> ids.add(message.getAckId()));
      Leases.Batch batch = new Leases.Batch(subscription, ids, System.currentTimeMillis());
      leases.received(batch);
      try {
        // While the reader has enough, the stream is not read, so that Pub/Sub stops.
        boolean isTaken = false;
        while (!isClosed && !isTaken) {
          isTaken = responses.offer(new Response(isMarks, messages, batch), 100, TimeUnit.MILLISECONDS);
        }
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
      }
      if (isClosed) {
        leases.giveBack();
      }
    }

    @Override
    public void onError(Throwable error) {
      if (PERMANENT.contains(Status.fromThrowable(error).getCode())) {
        // Without its cause, which would be reported in its place.
        failure = new IOException(
            "cannot pull from " + subscription + ": " + text(error) + "; `aqueduct check` finds the cause");
        return;
      }
      // Pub/Sub ends streams now and then, so only several short ones are an outage.
      failures = System.currentTimeMillis() < openedAt + SHORT_MILLIS ? failures + 1 : 0;
      if (isMarks && failures == OUTAGE) {
        LOG.warn("cannot pull from {}: {}; trying again until it answers", subscription, text(error));
      }
      again();
    }

    private static String text(Throwable error) {
      Status status = Status.fromThrowable(error);
      return status.getCode() + (status.getDescription() == null ? "" : ": " + status.getDescription());
    }

    @Override
    public void onCompleted() {
      again();
    }

    private void again() {
      synchronized (streams) {
        streams.remove(requests);
      }
      if (!isClosed) {
        TIMER.schedule(this::open, wait, TimeUnit.MILLISECONDS);
        wait = Math.min(5_000, wait * 2);
      }
    }
  }
}
