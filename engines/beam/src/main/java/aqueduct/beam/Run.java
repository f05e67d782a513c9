package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.config.Problems;
import aqueduct.config.Stream;
import aqueduct.count.Flow;
import aqueduct.count.Intake.Outcome;
import aqueduct.input.FileRun;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.runners.flink.FlinkRunner;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.metrics.MetricNameFilter;
import org.apache.beam.sdk.metrics.MetricResult;
import org.apache.beam.sdk.metrics.MetricsFilter;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.flink.streaming.api.environment.LocalStreamEnvironment;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** The command: reads the configuration, runs the flows on a Beam runner, and prints what became of the events. */
public final class Run {
  private static final String FLOWS = "Flows";

  private Run() {}

  /** The options beside those of Beam and its runner. */
  public interface Options extends PipelineOptions {
    @Description("The aqueduct.toml")
    String getConfig();

    void setConfig(String config);

    @Description("Files of anonymised events, each FILE or TOPIC=FILE")
    List<String> getFiles();

    void setFiles(List<String> files);

    @Description("Whether a pipeline that has no state may begin on a subscription that was read before")
    boolean getStartWithoutState();

    void setStartWithoutState(boolean isAllowed);

    @Description("The file or, without --files, the folder for the rows, as lines of JSON")
    String getOutput();

    void setOutput(String output);
  }

  /** A command line that cannot be used. */
  static final class WrongUsage extends Exception {
    private static final long serialVersionUID = 1;

    WrongUsage(String text) {
      super(text);
    }
  }

  public static void main(String[] arguments) {
    int code = 1;
    try {
      PipelineOptionsFactory.register(Options.class);
      Options options = PipelineOptionsFactory.fromArgs(arguments).as(Options.class);
      code = run(options);
    } catch (WrongUsage | Problems.Invalid | IllegalArgumentException error) {
      error.getMessage().lines().forEach(line -> System.err.println("error: " + line));
      code = 2;
    } catch (IOException | RuntimeException error) {
      Throwable cause = error;
      while (cause.getCause() != null) {
        cause = cause.getCause();
      }
      System.err.println("error: " + (cause.getMessage() == null ? cause.toString() : cause.getMessage()));
    }
    // Also after an error: the threads of Flink's local cluster do not end by themselves.
    System.exit(code);
  }

  /** Runs to the end of the files; the exit code. */
  private static int run(Options options) throws WrongUsage, Problems.Invalid, IOException {
    if (options.getConfig() == null) {
      throw new WrongUsage("--config is missing; write --config=aqueduct.toml");
    }
    if (!Files.isReadable(Path.of(options.getConfig()))) {
      throw new WrongUsage(options.getConfig() + ": cannot read the file");
    }
    Config config = Config.read(options.getConfig(), System.getenv());
    if (options.getFiles() == null || options.getFiles().isEmpty()) {
      return stream(config, options);
    }
    if (options.getOutput() == null) {
      throw new WrongUsage("--output is missing; write --output=rows.ndjson");
    }
    config.checkBounded();
    long began = System.currentTimeMillis();
    Pipeline pipeline = pipeline(options);
    pipeline.apply(FLOWS, new Bounded(config, places(options.getFiles()), options.getOutput(), began));
    PipelineResult result = pipeline.run();
    if (result.waitUntilFinish() != PipelineResult.State.DONE) {
      System.err.println("error: the pipeline did not finish; " + options.getOutput() + " is incomplete");
      return 1;
    }
    report(config, result, FLOWS, System.err);
    System.err.printf("in %.1f s%n", (System.currentTimeMillis() - began) / 1000.0);
    return 0;
  }

  /** Runs until it is stopped; a cluster goes on by itself. */
  private static int stream(Config config, Options options) throws WrongUsage, Problems.Invalid, IOException {
    if (options.getOutput() == null) {
      throw new WrongUsage("--output is missing; write --output=FOLDER for the rows");
    }
    Stream stream = config.stream(System.getenv());
    String variable = System.getenv("PUBSUB_EMULATOR_HOST");
    String emulator = stream.emulatorHost() != null ? stream.emulatorHost()
        : variable == null || variable.isEmpty() ? null : variable;
    FlinkPipelineOptions flink = options.as(FlinkPipelineOptions.class);
    if (flink.getRunner() == FlinkRunner.class) {
      streamOnFlink(flink);
    }
    Pipeline pipeline = Pipeline.create(options);
    PubSubSource source = new PubSubSource(config,
        new PubSubSource.StreamOptions(stream, emulator, options.getStartWithoutState()));
    pipeline.apply(FLOWS, new Streaming(config, source)).apply("Rows", new RowFiles(config, options.getOutput()));
    return pipeline.run().waitUntilFinish() == PipelineResult.State.FAILED ? 1 : 0;
  }

  /** Without checkpoints nothing would be acknowledged, and no row written. */
  private static void streamOnFlink(FlinkPipelineOptions flink) throws WrongUsage, IOException {
    flink.setStreaming(true);
    // Elements are never changed, so they need no copy between steps. State is, so Flink must copy it for a checkpoint.
    flink.setObjectReuse(true);
    flink.setFasterCopy(false);
    if (flink.getCheckpointingInterval() < 0) {
      flink.setCheckpointingInterval(10_000L);
    }
    if (flink.getAutoWatermarkInterval() == null) {
      flink.setAutoWatermarkInterval(200L);
    }
    if (flink.getStateBackendStoragePath() == null) {
      throw new WrongUsage("--stateBackendStoragePath is missing: the folder of the checkpoints, such as "
          + "file:///var/lib/aqueduct or gs://BUCKET/state");
    }
    if (flink.getStateBackend() == null) {
      flink.setStateBackend("filesystem");
    }
    flink.setRetainExternalizedCheckpointsOnCancellation(true);
    // Without a master Beam asks Flink, which has an answer when its client runs this program.
    if (flink.getFlinkMaster().equals("[auto]")
        && StreamExecutionEnvironment.getExecutionEnvironment() instanceof LocalStreamEnvironment) {
      flink.setFlinkMaster("[local]");
    }
    if (flink.getFlinkMaster().equals("[local]")) {
      if (flink.getNumberOfExecutionRetries() < 0) {
        flink.setNumberOfExecutionRetries(0);
      }
      if (flink.getSavepointPath() != null) {
        // A local cluster takes it from its configuration only.
        Path folder = Files.createTempDirectory("aqueduct-flink");
        Files.writeString(folder.resolve("flink-conf.yaml"), "execution.savepoint.path: " + flink.getSavepointPath() + "\n");
        flink.setFlinkConfDir(folder.toString());
      }
    }
  }

  /** An empty pipeline with the options that suit all of ours. */
  static Pipeline pipeline(PipelineOptions options) {
    // Elements are never changed, so Flink need not copy them between steps.
    FlinkPipelineOptions flink = options.as(FlinkPipelineOptions.class);
    flink.setFasterCopy(true);
    flink.setObjectReuse(true);
    return Pipeline.create(options);
  }

  static List<FileRun.Place> places(List<String> files) throws WrongUsage {
    List<FileRun.Place> places = new ArrayList<>();
    for (String file : files) {
      int end = file.indexOf('=');
      boolean hasTopic = end > 0 && file.substring(0, end).matches("[A-Za-z0-9._-]+") && !Files.exists(Path.of(file));
      String path = Path.of(hasTopic ? file.substring(end + 1) : file).toAbsolutePath().toString();
      if (!Files.isReadable(Path.of(path))) {
        throw new WrongUsage("cannot read " + path + "; --files names a file that does not exist or is not readable");
      }
      places.add(new FileRun.Place(hasTopic ? file.substring(0, end) : "", path));
    }
    return places;
  }

  /** Prints the outcomes that a step counted: in each flow they add up to the number of records. */
  static void report(Config config, PipelineResult result, String step, PrintStream out) {
    Map<String, Long> counters = new TreeMap<>();
    MetricsFilter ours = MetricsFilter.builder().addNameFilter(MetricNameFilter.inNamespace(Bounded.METRICS)).build();
    for (MetricResult<Long> counter : result.metrics().queryMetrics(ours).getCounters()) {
      if (counter.getKey().stepName().startsWith(step + "/")) {
        counters.merge(counter.getName().getName(), counter.getAttempted(), Long::sum);
      }
    }
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
      long total = 0;
      for (Outcome outcome : Outcome.values()) {
        long count = counters.getOrDefault(Bounded.counter(flow.name(), outcome), 0L);
        total += count;
        if (count > 0 || outcome == Outcome.COUNTED) {
          parts.add(count + " " + outcome.name().toLowerCase(Locale.ROOT));
        }
      }
      out.println("flow " + flow.name() + ": " + total + " = " + String.join(" + ", parts));
    }
  }
}
