package aqueduct.beam;

import com.google.pubsub.v1.AcknowledgeRequest;
import com.google.pubsub.v1.ModifyAckDeadlineRequest;
import com.google.pubsub.v1.SubscriberGrpc.SubscriberFutureStub;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;

/**
 * The messages of a reader that are not acknowledged. It outlives the reader: a checkpoint may be finalised after its
 * reader was closed. Requests are not confirmed, because a message that is delivered again is recognised.
 */
final class Leases {
  /** The messages of one response, which are counted and acknowledged together. */
  static final class Batch {
    private final String subscription;
    private final List<String> ids;
    private final long received;
    private long leased;
    /** In which order it was counted; 0 before. */
    private long number;

    Batch(String subscription, List<String> ids, long now) {
      this.subscription = subscription;
      this.ids = ids;
      received = now;
      leased = now;
    }
  }

  /** The most IDs in a request; those of Pub/Sub have some 200 bytes, and a request at most 512 KiB. */
  private static final int TOGETHER = 1_000;
  /** A message that no checkpoint covers after this time is delivered again. */
  private static final long LONGEST_MILLIS = 3_600_000;

  private final SubscriberFutureStub pubsub;
  private final int seconds;
  private final Set<Batch> held = new LinkedHashSet<>();
  private long counted;

  /** {@code seconds}: the length of one lease. */
  Leases(SubscriberFutureStub pubsub, int seconds) {
    this.pubsub = pubsub;
    this.seconds = seconds;
  }

  int seconds() {
    return seconds;
  }

  synchronized void received(Batch batch) {
    held.add(batch);
  }

  /** The batch was counted; the next checkpoint covers it. */
  synchronized void counted(Batch batch) {
    batch.number = ++counted;
  }

  /** The number of the last batch that was counted. */
  synchronized long last() {
    return counted;
  }

  /** Acknowledges what a durable checkpoint covers: everything counted up to a number. */
  void acknowledge(long upTo) {
    forEach(take(batch -> batch.number > 0 && batch.number <= upTo), (subscription, ids) -> pubsub.acknowledge(
        AcknowledgeRequest.newBuilder().setSubscription(subscription).addAllAckIds(ids).build()));
  }

  /** Extends the leases that have run for a third of their time. */
  void extend(long now) {
    List<Batch> due = new ArrayList<>();
    synchronized (this) {
      held.removeIf(batch -> batch.received + LONGEST_MILLIS <= now);
      for (Batch batch : held) {
        if (batch.leased + seconds * 1_000L / 3 <= now) {
          batch.leased = now;
          due.add(batch);
        }
      }
    }
    forEach(due, (subscription, ids) -> modify(subscription, ids, seconds));
  }

  /** Returns what was not counted, so that another reader receives it at once. */
  void giveBack() {
    forEach(take(batch -> batch.number == 0), (subscription, ids) -> modify(subscription, ids, 0));
  }

  synchronized boolean isEmpty() {
    return held.isEmpty();
  }

  private synchronized List<Batch> take(Function<Batch, Boolean> which) {
    List<Batch> taken = new ArrayList<>();
    for (Iterator<Batch> all = held.iterator(); all.hasNext(); ) {
      Batch batch = all.next();
      if (which.apply(batch)) {
        taken.add(batch);
        all.remove();
      }
    }
    return taken;
  }

  private void modify(String subscription, List<String> ids, int deadline) {
    pubsub.modifyAckDeadline(ModifyAckDeadlineRequest.newBuilder().setSubscription(subscription).addAllAckIds(ids)
        .setAckDeadlineSeconds(deadline).build());
  }

  private interface Request {
    void send(String subscription, List<String> ids);
  }

  private static void forEach(List<Batch> batches, Request request) {
    List<String> ids = new ArrayList<>();
    for (int n = 0; n < batches.size(); n++) {
      Batch batch = batches.get(n);
      for (String id : batch.ids) {
        ids.add(id);
        if (ids.size() == TOGETHER) {
          request.send(batch.subscription, ids);
          ids = new ArrayList<>();
        }
      }
      boolean isLast = n + 1 == batches.size() || !batches.get(n + 1).subscription.equals(batch.subscription);
      if (isLast && !ids.isEmpty()) {
        request.send(batch.subscription, ids);
        ids = new ArrayList<>();
      }
    }
  }
}
