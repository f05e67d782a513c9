package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.config.Problems;
import aqueduct.config.Stream;
import aqueduct.count.Flow;
import aqueduct.count.Line;
import aqueduct.count.Windows;
import aqueduct.input.FileRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.runners.flink.FlinkRunner;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.io.Read;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PDone;
import org.apache.flink.streaming.api.environment.LocalStreamEnvironment;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** The command: reads the configuration, runs the flows on a Beam runner, and prints what became of the events. */
public final class Run {
  private static final String FLOWS = "Flows";
  /** More than are ever incomplete at the same time. */
  private static final int BUFFERED_CHECKPOINTS = 10;

  /** The classes that Flink puts before the message of an error that it sends between its processes. */
  private static final Pattern NAMES = Pattern.compile("^(?:[a-z]\\w*(?:\\.\\w+)+: )+");

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

    @Description("The file or, without --files, the folder for the rows, as lines of JSON; without it, they go to the "
        + "writers of the configuration")
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
      String text = cause.getMessage();
      System.err.println("error: " + (text == null ? cause.toString() : NAMES.matcher(text).replaceFirst("")));
    }
    // The threads of Flink's local cluster do not end by themselves. Where Flink runs this program, the process is Flink's,
    // and the job goes on when the program has submitted it.
    if (code != 0 || isStartedByUser()) {
      System.exit(code);
    }
  }

  private static boolean isStartedByUser() {
    return StreamExecutionEnvironment.getExecutionEnvironment() instanceof LocalStreamEnvironment;
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
    config.checkBounded();
    long began = System.currentTimeMillis();
    PTransform<PCollection<Line>, PDone> sink =
        options.getOutput() == null ? new Sinks(config) : new RowFile(options.getOutput());
    Sinks.configure(options, config);
    Pipeline pipeline = pipeline(options);
    pipeline.apply(FLOWS, new Bounded(config, places(options.getFiles()), began)).apply("Write", sink);
    PipelineResult result = pipeline.run();
    if (result.waitUntilFinish() != PipelineResult.State.DONE) {
      System.err.println("error: the pipeline did not finish; its rows are incomplete");
      return 1;
    }
    Report report = new Report(config, result, FLOWS);
    report.print(System.err);
    if (options.getOutput() == null) {
      // After the rows, because it says that they are complete.
      Pipeline progress = pipeline(options);
      progress.apply(Create.of(report.progress(began)).withCoder(new Coders.OfLine())).apply("Write", sink);
      progress.run().waitUntilFinish();
    }
    System.err.printf("in %.1f s%n", (System.currentTimeMillis() - began) / 1000.0);
    return report.isBalanced() ? 0 : 1;
  }

  /** Runs until it is stopped; a cluster goes on by itself. */
  private static int stream(Config config, Options options) throws WrongUsage, Problems.Invalid, IOException {
    Stream stream = config.stream();
    if (options.getOutput() == null && config.writers().stream().anyMatch(writer -> writer.topic() == null)) {
      for (Flow flow : config.flows()) {
        if (flow.windows() instanceof Windows.Sessions) {
          throw new WrongUsage("flow " + flow.name() + ": sessions of a stream cannot go to BigQuery, because this engine "
              + "does not delete the row of a session that became a part of a longer one; use --output or a writer of "
              + "kind \"pubsub\"");
        }
      }
    }
    FlinkPipelineOptions flink = options.as(FlinkPipelineOptions.class);
    if (flink.getRunner() == FlinkRunner.class) {
      streamOnFlink(flink);
    }
    Pipeline pipeline = Pipeline.create(options);
    PubSubSource source = new PubSubSource(config,
        new PubSubSource.StreamOptions(stream, config.pubsubEmulator(), options.getStartWithoutState()));
    PTransform<PCollection<Line>, PDone> sink =
        options.getOutput() == null ? new Sinks(config) : new RowFiles(options.getOutput());
    Sinks.configure(options, config);
    pipeline.apply(FLOWS, new Streaming(config, Read.from(source), source.readers()))
        .apply("Stable", ParDo.of(new Streaming.Stable())).setCoder(new Coders.OfLine())
        .apply("Write", sink);
    if (!flink.getFlinkMaster().equals("[local]")) {
      return toTheEnd(pipeline);
    }
    Interruption interruption = new Interruption(flink.getStateBackendStoragePath());
    try {
      return toTheEnd(pipeline);
    } finally {
      interruption.close();
    }
  }

  private static int toTheEnd(Pipeline pipeline) {
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
    // Beam keeps rows that wait for a checkpoint in as many buffers, and one more. With two, the rows that follow the first
    // checkpoint after a restart share the buffer of the restored ones, and are written before they are in a checkpoint.
    flink.setNumConcurrentCheckpoints(Math.max(BUFFERED_CHECKPOINTS, flink.getNumConcurrentCheckpoints()));
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
    if (flink.getFlinkMaster().equals("[auto]") && isStartedByUser()) {
      flink.setFlinkMaster("[local]");
    }
    if (flink.getFlinkMaster().equals("[local]")) {
      if (flink.getNumberOfExecutionRetries() < 0) {
        flink.setNumberOfExecutionRetries(0);
      }
      if (flink.getSavepointPath() != null) {
        // A local cluster takes it from its configuration only.
        String own = flink.getFlinkConfDir();
        String known = own == null ? "" : Files.readString(Path.of(own, "flink-conf.yaml"));
        Path folder = Files.createTempDirectory("aqueduct-flink");
        Files.writeString(folder.resolve("flink-conf.yaml"),
            known + "\nexecution.savepoint.path: " + flink.getSavepointPath() + "\n");
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
}
