package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.count.Flow;
import aqueduct.count.Intake.Outcome;
import aqueduct.count.Line;
import aqueduct.count.Rows;
import aqueduct.event.Times;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.metrics.DistributionResult;
import org.apache.beam.sdk.metrics.MetricNameFilter;
import org.apache.beam.sdk.metrics.MetricQueryResults;
import org.apache.beam.sdk.metrics.MetricResult;
import org.apache.beam.sdk.metrics.MetricsFilter;

/** What became of the events of a bounded run: in each flow, the outcomes add up to the number of records. */
final class Report {
  private final Config config;
  private final Map<String, Long> counters = new TreeMap<>();
  private final Map<String, Long> lastEnds = new TreeMap<>();

  /** Reads what a step and those in it have counted. */
  Report(Config config, PipelineResult result, String step) {
    this.config = config;
    MetricsFilter ours = MetricsFilter.builder().addNameFilter(MetricNameFilter.inNamespace(Bounded.METRICS)).build();
    MetricQueryResults metrics = result.metrics().queryMetrics(ours);
    for (MetricResult<Long> counter : metrics.getCounters()) {
      if (counter.getKey().stepName().startsWith(step + "/")) {
        counters.merge(counter.getName().getName(), counter.getAttempted(), Long::sum);
      }
    }
    for (MetricResult<DistributionResult> ends : metrics.getDistributions()) {
      if (ends.getKey().stepName().startsWith(step + "/")) {
        lastEnds.merge(ends.getName().getName(), ends.getAttempted().getMax(), Math::max);
      }
    }
  }

  private long count(Flow flow, Outcome outcome) {
    return counters.getOrDefault(Bounded.counter(flow.name(), outcome), 0L);
  }

  private long total(Flow flow) {
    long total = 0;
    for (Outcome outcome : Outcome.values()) {
      total += count(flow, outcome);
    }
    return total;
  }

  boolean isBalanced() {
    return config.flows().stream().allMatch(flow -> total(flow) == counters.getOrDefault(Bounded.RECORDS, 0L));
  }

  void print(PrintStream out) {
    counters.forEach((name, count) -> {
      if (name.startsWith("rejected: ")) {
        out.println("rejected " + count + name.substring("rejected".length()));
      }
    });
    for (Flow flow : config.flows()) {
      long overLimit = counters.getOrDefault(flow.name() + ".over_limit", 0L);
      if (overLimit > 0) {
        out.println("warning: flow " + flow.name() + ": " + overLimit + " views and clicks were counted without the "
            + "join, because a value of join.on has more live events than join.limit");
      }
      List<String> parts = new ArrayList<>();
      for (Outcome outcome : Outcome.values()) {
        long count = count(flow, outcome);
        if (count > 0 || outcome == Outcome.COUNTED) {
          parts.add(count + " " + outcome.name().toLowerCase(Locale.ROOT));
        }
      }
      out.println("flow " + flow.name() + ": " + total(flow) + " = " + String.join(" + ", parts));
    }
    if (!isBalanced()) {
      out.println("error: the outcomes do not add up to the " + counters.get(Bounded.RECORDS) + " records");
    }
  }

  /** A row of progress for each flow. Its watermark shows that all windows of the run are final, and no other. */
  List<Line> progress(long now) {
    List<Line> lines = new ArrayList<>();
    for (int n = 0; n < config.flows().size(); n++) {
      Flow flow = config.flows().get(n);
      Map<String, Long> outcomes = new TreeMap<>();
      for (Outcome outcome : Outcome.values()) {
        outcomes.put(outcome.name().toLowerCase(Locale.ROOT), count(flow, outcome));
      }
      long lastEnd = lastEnds.getOrDefault(flow.name() + Bounded.LAST_END, Times.MIN);
      lines.add(new Rows(flow).progress(n, now, Times.plus(lastEnd, flow.allowedLateness()), outcomes, null));
    }
    return lines;
  }
}
