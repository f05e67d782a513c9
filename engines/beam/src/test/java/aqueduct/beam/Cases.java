package aqueduct.beam;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.apache.beam.sdk.options.PipelineOptionsFactory;

/**
 * Runs the directories that `compare.py` prepares, in one process: each has an aqueduct.toml, its files of events, and
 * their names with topics in files.txt. Further arguments are options of the runner.
 */
public final class Cases {
  private Cases() {}

  public static void main(String[] arguments) throws Exception {
    PipelineOptionsFactory.register(Run.Options.class);
    try (Stream<Path> found = Files.list(Path.of(arguments[0]))) {
      for (Path folder : found.sorted().toList()) {
        run(folder, Stream.of(arguments).skip(1).toList());
      }
    }
    // Flink's local cluster leaves threads behind.
    System.exit(0);
  }

  private static void run(Path folder, List<String> more) throws Exception {
    List<String> files = lines(folder.resolve("files.txt")).stream().map(file -> "--files=" + at(folder, file)).toList();
    Stream<String> ours = Stream.of("--config=" + folder.resolve("aqueduct.toml"),
        "--output=" + folder.resolve("beam.ndjson").toAbsolutePath());
    String[] all = Stream.of(ours, files.stream(), more.stream()).flatMap(part -> part).toArray(String[]::new);
    int code = Run.run(PipelineOptionsFactory.fromArgs(all).as(Run.Options.class));
    if (code != 0) {
      throw new IllegalStateException(folder + " ended with " + code);
    }
  }

  private static String at(Path folder, String file) {
    int end = file.indexOf('=');
    return file.substring(0, end + 1) + folder.resolve(file.substring(end + 1));
  }

  private static List<String> lines(Path path) throws IOException {
    return Files.readAllLines(path);
  }
}
