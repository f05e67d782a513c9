package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.input.FileRun;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.options.PipelineOptionsFactory;

/**
 * Counts the directories that `compare.py` prepares: each has an aqueduct.toml, its files of events, and their names with
 * topics in files.txt. Those with all panes of `replay` are then counted as {@link Panes streams}. Several are one
 * pipeline, because starting Flink takes much longer than counting a case. The arguments are the directory of the
 * directories and options of the runner.
 */
public final class Cases {
  private static final int TOGETHER = 10;

  private Cases() {}

  public static void main(String[] arguments) throws Exception {
    List<Path> folders;
    try (Stream<Path> found = Files.list(Path.of(arguments[0]))) {
      folders = found.sorted().toList();
    }
    String[] options = Stream.of(arguments).skip(1).toArray(String[]::new);
    inParts(folders, part -> run(part, options));
    inParts(folders.stream().filter(Panes::isStream).toList(), part -> Panes.run(part, options));
    // Flink's local cluster leaves threads behind.
    System.exit(0);
  }

  private interface Job {
    void run(List<Path> folders) throws Exception;
  }

  private static void inParts(List<Path> folders, Job job) throws Exception {
    for (int from = 0; from < folders.size(); from += TOGETHER) {
      job.run(folders.subList(from, Math.min(folders.size(), from + TOGETHER)));
    }
  }

  static Config config(Path folder) throws Exception {
    Config config = Config.read(folder.resolve("aqueduct.toml").toString(), System.getenv());
    config.checkBounded();
    return config;
  }

  static List<FileRun.Place> files(Path folder) throws Exception {
    List<String> files = new ArrayList<>();
    for (String file : Files.readAllLines(folder.resolve("files.txt"))) {
      int end = file.indexOf('=') + 1;
      files.add(file.substring(0, end) + folder.resolve(file.substring(end)));
    }
    return Run.places(files);
  }

  static PipelineResult finish(Pipeline pipeline, List<Path> folders) {
    PipelineResult result = pipeline.run();
    if (result.waitUntilFinish() != PipelineResult.State.DONE) {
      throw new IllegalStateException("the pipeline of " + folders + " did not finish");
    }
    return result;
  }

  private static void run(List<Path> folders, String[] options) throws Exception {
    Pipeline pipeline = Run.pipeline(PipelineOptionsFactory.fromArgs(options).create());
    Map<Path, Config> configs = new LinkedHashMap<>();
    for (Path folder : folders) {
      Config config = config(folder);
      configs.put(folder, config);
      String output = folder.resolve("beam.ndjson").toAbsolutePath().toString();
      String name = folder.getFileName().toString();
      pipeline.apply(name, new Bounded(config, files(folder), System.currentTimeMillis()))
          .apply(name + " file", new RowFile(output));
    }
    PipelineResult result = finish(pipeline, folders);
    for (Map.Entry<Path, Config> one : configs.entrySet()) {
      try (PrintStream report = new PrintStream(one.getKey().resolve("beam.txt").toFile())) {
        new Report(one.getValue(), result, one.getKey().getFileName().toString()).print(report);
      }
    }
  }
}
