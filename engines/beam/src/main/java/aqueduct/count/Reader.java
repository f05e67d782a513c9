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
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
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
  private final Pointers pointers = new Pointers();
  private final Plan[] plans;
  private final Map<String, Own> topics = new HashMap<>();
  private final Own general;
  private final long first;
  private final long last;

  /** Where the events of a topic have their time and ID; the slot of the ID is -1 if they have none. */
  private record Own(int time, int id, String scope) {}

  /** A match with its slots; that of the topic is -1. */
  private record Slots(List<Term> terms, int[] slots) {}

  /** A stored measure with its slot, -1 for a count. Nothing feeds a measure of a join. */
  private record Input(Fed fed, Slots where, int slot, boolean isFed) {}

  /** What a flow reads, with the slots of it. */
  private record Plan(Flow flow, Slots where, Input[] inputs, int[] by, int view, int click, long views, long clicks) {}

  public Reader(Events events, List<Flow> flows) {
    this.events = events;
    long longest = 0;
    plans = new Plan[flows.size()];
    for (int n = 0; n < plans.length; n++) {
      longest = Math.max(longest, flows.get(n).windows().longest());
      plans[n] = plan(flows.get(n));
    }
    general = own("");
    events.topics().keySet().forEach(topic -> topics.put(topic, own(topic)));
    first = Times.FIRST + longest;
    last = Times.LAST - longest;
  }

  private Own own(String topic) {
    int id = events.idOf(topic) == null ? -1 : pointers.slot(events.idOf(topic));
    return new Own(pointers.slot(events.timeOf(topic)), id, (events.hasOwnId(topic) ? topic : "") + "\n");
  }

  private Plan plan(Flow flow) {
    Input[] inputs = flow.fed().stream().map(fed -> {
      Match where = switch (fed.source()) {
        case EVENTS, JOIN -> fed.where();
        case VIEWS -> flow.views();
        case CLICKS -> flow.clicks();
      };
      int slot = fed.at() == null ? -1 : pointers.slot(fed.at());
      return new Input(fed, slots(where), slot, fed.source() != Flow.Source.JOIN);
    }).toArray(Input[]::new);
    int[] by = flow.by().stream().mapToInt(column -> pointers.slot(column.pointer())).toArray();
    Flow.Join join = flow.join();
    int view = join == null ? -1 : pointers.slot(join.view());
    int click = join == null ? -1 : pointers.slot(join.click());
    long views = join == null ? 0 : flow.feeds(Flow.Source.VIEWS);
    long clicks = join == null ? 0 : flow.feeds(Flow.Source.CLICKS);
    return new Plan(flow, slots(flow.where()), inputs, by, view, click, views, clicks);
  }

  private Slots slots(Match match) {
    return match == null ? null : new Slots(match.terms(),
        match.terms().stream().mapToInt(term -> term.pointer() == null ? -1 : pointers.slot(term.pointer())).toArray());
  }

  private static boolean holds(Slots match, Value[] values, String topic) {
    if (match != null) {
      for (int n = 0; n < match.slots.length; n++) {
        Term term = match.terms.get(n);
        int slot = match.slots[n];
        if (slot < 0 ? !term.texts().contains(topic) : !term.holds(values[slot])) {
          return false;
        }
      }
    }
    return true;
  }

  /**
   * Reads one event. {@code kafkaTime} is null if it is missing or not positive; {@code publishTime} is the current time
   * for a file.
   */
  public Digest read(byte[] payload, String topic, Long kafkaTime, long publishTime) throws Json.Bad {
    Value[] values = Json.pick(payload, pointers);
    Own own = topics.getOrDefault(topic, general);
    Long time = Times.of(values[own.time]);
    String reason = time == null ? "time" : invalid(time, kafkaTime, publishTime);
    Refusal refusal = reason == null ? null : new Refusal(reason, events.timeOf(topic));
    Part[] parts = new Part[plans.length];
    for (int n = 0; n < parts.length; n++) {
      // A flow refuses an event with an invalid time before it looks at any other value.
      boolean isTimed = refusal == null || !plans[n].flow.time().equals("event");
      parts[n] = isTimed ? part(values, topic, plans[n]) : NOTHING;
    }
    Value id = own.id < 0 ? Value.MISSING : values[own.id];
    Refusal badId = id.isContainer() ? new Refusal("unexpected-shape", events.idOf(topic)) : null;
    String scoped = id.scalar() == null ? null : own.scope + id.scalar();
    return new Digest(refusal == null ? time : null, refusal, scoped, badId, parts);
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

  private static Part part(Value[] values, String topic, Plan plan) {
    if (!holds(plan.where, values, topic)) {
      return NOTHING;
    }
    long feeds = 0;
    Refusal refusal = null;
    Object[] inputs = NOTHING.inputs;
    for (int n = 0; n < plan.inputs.length; n++) {
      Input of = plan.inputs[n];
      if (!of.isFed || !holds(of.where, values, topic)) {
        continue;
      }
      Object input = of.slot < 0 ? null : input(values[of.slot], of.fed);
      if (input instanceof Refusal refused) {
        refusal = refusal == null ? refused : refusal;
      } else if (input != null || of.slot < 0) {
        feeds |= 1L << n;
        if (input != null) {
          inputs = Arrays.copyOf(inputs, inputs.length + 1);
          inputs[inputs.length - 1] = input;
        }
      }
    }
    if (feeds == 0) {
      return refusal == null ? NOTHING : new Part(0, NOTHING.inputs, null, refusal, null, null);
    }
    boolean isView = (feeds & plan.views) != 0;
    boolean isClick = (feeds & plan.clicks) != 0;
    String view = isView ? values[plan.view].scalar() : null;
    String click = isClick ? values[plan.click].scalar() : null;
    // A click that is not a view counts under the columns of its view. Its own columns are used only if its value has
    // reached the join's limit.
    boolean takesColumns = isClick && !isView;
    for (int n = 0; n < plan.by.length; n++) {
      if (values[plan.by[n]].isContainer() && !takesColumns && refusal == null) {
        refusal = new Refusal("unexpected-shape", plan.flow.by().get(n).pointer());
      }
    }
    return new Part(feeds, inputs, Keys.of(values, plan.by), refusal, view, click);
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
}
