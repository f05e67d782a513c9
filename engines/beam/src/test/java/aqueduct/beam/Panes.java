package aqueduct.beam;

import aqueduct.beam.Coders.Counted;
import aqueduct.beam.Coders.OfCounted;
import aqueduct.beam.Coders.Part;
import aqueduct.config.Config;
import aqueduct.count.Flow;
import aqueduct.count.Intake;
import aqueduct.count.Intake.JoinEvent;
import aqueduct.count.Ledger;
import aqueduct.count.Line;
import aqueduct.count.Slices;
import aqueduct.count.Windows;
import aqueduct.event.Times;
import aqueduct.input.FileRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.VarIntCoder;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.testing.TestStream;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.WithKeys;
import org.joda.time.Instant;

/**
 * Counts the files of a directory as a stream: what the reader of Pub/Sub would pass on, in the place of that reader. A
 * flow is a stream of its own, because `replay` looks for panes of each flow at another watermark.
 *
 * <p>When LATE panes fire is no rule: the processor does so before a checkpoint, this engine when the watermark moves after
 * its reader has passed on what it counted, and `replay` at the border of a slice and at the end of a window's lateness.
 * So a stream passes on its parts where `replay` looks for panes: at borders, and at the watermarks of its LATE panes.
 */
final class Panes {
  /** All panes of `replay`. */
  private static final String REPLAYED = "panes.ndjson";
  private static final Pattern LATE = Pattern.compile(
      "\\{\"flow\":\"([^\"]*)\".*,\"pane\":\"LATE\",\"pane_index\":\\d+,\"watermark\":\"([^\"]*)\",[^,]*\\}");

  private final Config config;
  private final Intake intake;
  private final List<Steps> flows = new ArrayList<>();

  private Panes(Config config, Path replayed) throws IOException {
    this.config = config;
    Map<String, Set<String>> late = new HashMap<>();
    try (Stream<String> rows = Files.lines(replayed)) {
      rows.map(LATE::matcher).filter(Matcher::matches)
          .forEach(row -> late.computeIfAbsent(row.group(1), of -> new HashSet<>()).add(row.group(2)));
    }
    for (Flow flow : config.flows()) {
      flows.add(new Steps(flows.size(), late.getOrDefault(flow.name(), Set.of())));
    }
    intake = new Intake(config, new Intake.Sink() {
      @Override
      public void count(int flow, byte[] key, long slice, long floor, long feeds, Object[] inputs) {
        flows.get(flow).slices.count(flow, key, slice, floor, feeds, inputs, 1);
      }

      @Override
      public void join(JoinEvent event) {
        flows.get(event.flow()).ready.add(Counted.of(event));
      }
    });
  }

  static boolean isStream(Path folder) {
    return Files.exists(folder.resolve(REPLAYED));
  }

  static void run(List<Path> folders, String[] options) throws Exception {
    Pipeline pipeline = pipeline(folders.get(0), options);
    for (Path folder : folders) {
      add(pipeline, folder);
    }
    Cases.finish(pipeline, folders);
    for (Path folder : folders) {
      for (Line.Table table : List.of(Line.Table.ROWS, Line.Table.PROGRESS)) {
        Path file = folder.resolve("beam-" + table.name().toLowerCase(Locale.ROOT) + ".ndjson");
        Files.write(file, InStep.rows(name(folder), table));
      }
    }
  }

  private static String name(Path folder) {
    return folder.getFileName().toString();
  }

  /** Each step waits for the one before, so no step may wait for more elements. A busy machine is not a lost worker. */
  private static Pipeline pipeline(Path settings, String[] options) throws IOException {
    FlinkPipelineOptions flink = PipelineOptionsFactory.fromArgs(options).as(FlinkPipelineOptions.class);
    Files.writeString(settings.resolve("flink-conf.yaml"),
        "execution.buffer-timeout.interval: 0 ms\nheartbeat.timeout: 600000\n");
    flink.setFlinkConfDir(settings.toString());
    flink.setFlinkMaster("[local]");
    flink.setStreaming(true);
    flink.setMaxBundleSize(1L);
    flink.setMaxBundleTimeMills(2L);
    flink.setObjectReuse(true);
    flink.setFasterCopy(false);
    return Pipeline.create(flink);
  }

  private static void add(Pipeline pipeline, Path folder) throws Exception {
    Config config = Cases.config(folder);
    Panes panes = new Panes(config, folder.resolve(REPLAYED));
    long now = System.currentTimeMillis();
    new FileRun(config, panes.intake, now, (refusal, partition, line) -> {})
        .run(Cases.files(folder), () -> panes.flows.forEach(Steps::advance));
    for (Steps steps : panes.flows) {
      String of = name(folder) + "/" + steps.flow.name();
      pipeline.apply(of, new Streaming(config, new InStep(of, steps.end(now)), 1))
          .apply(of + " keyed", WithKeys.of(0)).setCoder(KvCoder.of(VarIntCoder.of(), new Coders.OfLine()))
          .apply(of + " rows", ParDo.of(new InStep.Sink(name(folder), of)));
    }
  }

  /** What a stream of a flow passes on. */
  private final class Steps {
    final int number;
    final Flow flow;
    final Set<String> late;
    final Slices slices = new Slices(config.flows());
    final List<Counted> ready = new ArrayList<>();
    TestStream.Builder<Counted> stream = TestStream.create(new OfCounted(config));
    /** The watermark before the event. */
    long watermark = Times.MIN;

    Steps(int number, Set<String> late) {
      this.number = number;
      this.late = late;
      flow = config.flows().get(number);
    }

    /** An event was counted. If the watermark moves and `replay` looks for panes, passes on what was counted before. */
    void advance() {
      long next = intake.watermark(number);
      if (next > watermark && looks(next)) {
        slices.drain((of, key, start, floor, cells) ->
            ready.add(Counted.of(key, new Part(of, start, floor, flow.passed(start, watermark), cells))));
        long clock = Math.min(Times.plus(next, flow.outOfOrderness()), Streaming.LAST);
        ready.add(InStep.border(clock));
        pass();
        stream = stream.advanceWatermarkTo(new Instant(clock));
      }
      watermark = next;
    }

    private boolean looks(long next) {
      boolean isAnEnd = watermark == Times.MIN || next == Times.MAX;
      return isAnEnd || flow.windows() instanceof Windows.Sessions
          || flow.windows().slice(next) > flow.windows().slice(watermark) || late.contains(Times.text(watermark));
    }

    private void pass() {
      for (Counted element : ready) {
        stream = stream.addElements(element);
      }
      ready.clear();
    }

    /** All events, and then the outcomes, of which a row of progress is made. */
    TestStream<Counted> end(long now) {
      Ledger.Accounted nothing = new Ledger.Accounted(0, 0, "");
      ready.add(Counted.of(Ledger.total(number, 0, now, watermark, intake.ledgers().get(number), nothing)));
      pass();
      return stream.advanceWatermarkToInfinity();
    }
  }
}
