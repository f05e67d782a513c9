package aqueduct.count;

import aqueduct.config.Events;
import aqueduct.count.Flow.Aggregation;
import aqueduct.count.Flow.Fed;
import aqueduct.count.Flow.Match;
import aqueduct.count.Flow.Term;
import aqueduct.event.Decimal;
import aqueduct.event.Json;
import aqueduct.event.Pointers;
import aqueduct.event.Times;
import aqueduct.event.Value;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import net.openhft.hashing.LongHashFunction;

/** Reads a payload into a digest, in one pass for all flows. A digest does not depend on any other event. */
public final class Reader {
  /** 2011-01-01, the month of Kafka's first release: no record is older, so an earlier timestamp is wrong. */
  private static final long FIRST_KAFKA = 1_293_840_000_000L;

  private static final LongHashFunction XXH3 = LongHashFunction.xx3();

  /** What the flows need of an event. The time is null, and the refusal says why, if it has none that is valid. */
  public record Digest(Long time, Refusal refusal, String id, Refusal badId, Part[] parts) {}

  /** The part of one flow. {@code key} holds the by columns, {@code view} and {@code click} the values of a join. */
  public record Part(long feeds, Object[] inputs, byte[] key, Refusal refusal, String view, String click) {}

  /** Why an event is refused, and at which declared pointer. */
  public record Refusal(String reason, String pointer) {}

  private static final Part NOTHING = new Part(0, new Object[0], null, null, null, null);

  private final Events events;
  private final List<Flow> flows;
  private final Pointers pointers = new Pointers();
  private final Map<Flow, Bits> bits = new HashMap<>();
  private final long first;
  private final long last;

  private record Bits(long views, long clicks) {}

  public Reader(Events events, List<Flow> flows) {
    this.events = events;
    this.flows = flows;
    pointers.slot(events.time());
    long longest = 0;
    for (Flow flow : flows) {
      longest = Math.max(longest, flow.windows().longest());
      bits.put(flow, new Bits(flow.feeds(Flow.Source.VIEWS), flow.feeds(Flow.Source.CLICKS)));
      declare(flow);
    }
    events.topics().keySet().forEach(this::declare);
    declare("");
    first = Times.FIRST + longest;
    last = Times.LAST - longest;
  }

  private void declare(String topic) {
    pointers.slot(events.timeOf(topic));
    if (events.idOf(topic) != null) {
      pointers.slot(events.idOf(topic));
    }
  }

  private void declare(Flow flow) {
    flow.by().forEach(column -> pointers.slot(column.pointer()));
    declare(flow.where());
    declare(flow.views());
    declare(flow.clicks());
    for (Fed fed : flow.fed()) {
      declare(fed.where());
      if (fed.at() != null) {
        pointers.slot(fed.at());
      }
    }
    if (flow.join() != null) {
      pointers.slot(flow.join().view());
      pointers.slot(flow.join().click());
    }
  }

  private void declare(Match match) {
    if (match != null) {
      match.terms().stream().filter(term -> term.pointer() != null).forEach(term -> pointers.slot(term.pointer()));
    }
  }

  /** One event in memory while it is read. */
  private final class Event {
    final Value[] values;
    final String topic;

    Event(Value[] values, String topic) {
      this.values = values;
      this.topic = topic;
    }

    Value at(String pointer) {
      return values[pointers.slot(pointer)];
    }

    boolean holds(Match match) {
      if (match != null) {
        for (Term term : match.terms()) {
          if (term.pointer() == null ? !term.texts().contains(topic) : !term.holds(at(term.pointer()))) {
            return false;
          }
        }
      }
      return true;
    }
  }

  /**
   * Reads one event. {@code kafkaTime} is null if it is missing or not positive; {@code publishTime} is the current time
   * for a file.
   */
  public Digest read(byte[] payload, String topic, Long kafkaTime, long publishTime) throws Json.Bad {
    Event event = new Event(Json.pick(payload, pointers), topic);
    Long time = Times.of(event.at(events.timeOf(topic)));
    String reason = time == null ? "time" : invalid(time, kafkaTime, publishTime);
    Refusal refusal = reason == null ? null : new Refusal(reason, events.timeOf(topic));
    Part[] parts = new Part[flows.size()];
    for (int n = 0; n < parts.length; n++) {
      // A flow refuses an event with an invalid time before it looks at any other value.
      boolean isTimed = refusal == null || !flows.get(n).time().equals("event");
      parts[n] = isTimed ? part(event, flows.get(n)) : NOTHING;
    }
    String at = events.idOf(topic);
    Value id = at == null ? Value.MISSING : event.at(at);
    if (id.isContainer()) {
      return new Digest(refusal == null ? time : null, refusal, null, new Refusal("unexpected-shape", at), parts);
    }
    String scope = events.hasOwnId(topic) ? topic : "";
    String scoped = id.scalar() == null ? null : scope + "\n" + id.scalar();
    return new Digest(refusal == null ? time : null, refusal, scoped, null, parts);
  }

  private String invalid(long time, Long kafkaTime, long publishTime) {
    if (time < first || time > last) {
      return "time-range";
    }
    long newest = Times.plus(kafkaTime == null ? publishTime : kafkaTime, events.future());
    if (time <= newest) {
      return null;
    }
    return kafkaTime != null && kafkaTime < FIRST_KAFKA ? "kafka-timestamp" : "future";
  }

  private Part part(Event event, Flow flow) {
    if (!event.holds(flow.where())) {
      return NOTHING;
    }
    long feeds = 0;
    Refusal refusal = null;
    List<Object> inputs = new ArrayList<>();
    for (int n = 0; n < flow.fed().size(); n++) {
      Fed fed = flow.fed().get(n);
      if (!feeds(event, flow, fed)) {
        continue;
      }
      if (fed.at() == null) {
        feeds |= 1L << n;
        continue;
      }
      Object input = input(event.at(fed.at()), fed);
      if (input instanceof Refusal refused) {
        refusal = refusal == null ? refused : refusal;
      } else if (input != null) {
        feeds |= 1L << n;
        inputs.add(input);
      }
    }
    if (feeds == 0) {
      return refusal == null ? NOTHING : new Part(0, NOTHING.inputs, null, refusal, null, null);
    }
    Bits of = bits.get(flow);
    boolean isView = flow.join() != null && (feeds & of.views) != 0;
    boolean isClick = flow.join() != null && (feeds & of.clicks) != 0;
    String view = isView ? event.at(flow.join().view()).scalar() : null;
    String click = isClick ? event.at(flow.join().click()).scalar() : null;
    // A click that is not a view counts under the columns of its view. Its own columns are used only if its value has
    // reached the join's limit.
    boolean takesColumns = isClick && !isView;
    for (Flow.Column column : flow.by()) {
      if (event.at(column.pointer()).isContainer() && !takesColumns && refusal == null) {
        refusal = new Refusal("unexpected-shape", column.pointer());
      }
    }
    return new Part(feeds, inputs.toArray(), key(event, flow), refusal, view, click);
  }

  private static boolean feeds(Event event, Flow flow, Fed fed) {
    return switch (fed.source()) {
      case EVENTS -> event.holds(fed.where());
      case VIEWS -> event.holds(flow.views());
      case CLICKS -> event.holds(flow.clicks());
      case JOIN -> false;
    };
  }

  /** The input of a measure: a number in billionths, a hash, a refusal, or null without a value, as in SQL. */
  private static Object input(Value value, Fed fed) {
    if (value.isAbsent()) {
      return null;
    }
    if (fed.aggregation() == Aggregation.DISTINCT) {
      return value.scalar() == null ? new Refusal("unexpected-shape", fed.at()) : (Object) hash(value.scalar());
    }
    if (value.kind() != Value.Kind.NUMBER) {
      return new Refusal("not-a-number", fed.at());
    }
    BigInteger number = Decimal.billionths(value.text());
    return number == null ? new Refusal("number-range", fed.at()) : number;
  }

  /** The hash of a distinct value, which a sketch takes: XXH3, as in Rust. */
  static long hash(String value) {
    return XXH3.hashBytes(value.getBytes(StandardCharsets.UTF_8));
  }

  private static byte[] key(Event event, Flow flow) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    DataOutputStream out = new DataOutputStream(bytes);
    try {
      for (Flow.Column column : flow.by()) {
        String value = event.at(column.pointer()).scalar();
        out.writeBoolean(value != null);
        if (value != null) {
          Codec.writeText(out, value);
        }
      }
    } catch (IOException error) {
      throw new IllegalStateException("writing to memory does not fail", error);
    }
    return bytes.toByteArray();
  }
}
