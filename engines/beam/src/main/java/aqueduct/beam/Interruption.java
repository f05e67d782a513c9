package aqueduct.beam;

import java.io.File;
import java.net.URI;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.Stream;

/**
 * Ctrl-C or SIGTERM during a stream in this process: it says where the stream can continue. The exit
 * code is that of every Java program, 130 or 143.
 */
final class Interruption {
  private enum Phase { RUNNING, INTERRUPTED, OVER }

  private final String storage;
  private Phase phase = Phase.RUNNING;

  /** {@code storage} is the URI of the folder of the checkpoints. */
  Interruption(String storage) {
    this.storage = storage;
    Runtime.getRuntime().addShutdownHook(new Thread(this::interrupt, "aqueduct-interruption"));
  }

  private synchronized void interrupt() {
    // The program also ends when the pipeline has failed, which has been reported.
    if (phase == Phase.RUNNING) {
      phase = Phase.INTERRUPTED;
      System.err.println(advice(storage));
    }
  }

  /** The pipeline has ended; if it was by an interruption, its failure is not reported, and the process ends here. */
  void close() {
    synchronized (this) {
      if (phase == Phase.RUNNING) {
        phase = Phase.OVER;
        return;
      }
    }
    // Waits for the other hooks, which stop Flink.
    System.exit(1);
  }

  static String advice(String storage) {
    if (!storage.startsWith("file:")) {
      return "stopped; to continue, add --savepointPath= with the newest folder chk-N of " + storage
          + " that has a file _metadata";
    }
    return checkpoints(new File(URI.create(storage))).max(Comparator.comparingLong(File::lastModified))
        .map(metadata -> "stopped; to continue, add --savepointPath=" + metadata.getParentFile().toPath().toUri())
        .orElse("stopped before the first checkpoint; nothing was acknowledged, so start it again in the same way");
  }

  /** The metadata of all checkpoints of all jobs; what is not complete has none. */
  private static Stream<File> checkpoints(File storage) {
    return files(storage).flatMap(job -> files(job)).filter(folder -> folder.getName().startsWith("chk-"))
        .map(folder -> new File(folder, "_metadata")).filter(File::exists);
  }

  private static Stream<File> files(File folder) {
    File[] files = folder.listFiles();
    return files == null ? Stream.empty() : Arrays.stream(files);
  }
}
