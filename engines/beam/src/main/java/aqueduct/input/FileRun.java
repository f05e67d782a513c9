package aqueduct.input;

import aqueduct.config.Config;
import aqueduct.count.Flow;
import aqueduct.count.Intake;
import aqueduct.count.Intake.Verdict;
import aqueduct.count.Reader;
import aqueduct.count.Reader.Refusal;
import aqueduct.event.Times;
import aqueduct.input.EventFile.Line;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Counts files in the order in which `aqueduct replay` does: each file is a partition, and the next line is always one of
 * the file with the lowest clock. That order decides what is late, so one thread reads all files.
 */
public final class FileRun {
  /** A file with the topic of its events; empty without one. */
  public record Place(String topic, String file) implements Serializable {}

  /** Receives each refused line: the reason, the number of its file and its number in it, never its content. */
  public interface Rejects {
    void rejected(Refusal refusal, int partition, long line);
  }

  private final Config config;
  private final Intake intake;
  private final long now;
  private final Rejects rejects;

  public FileRun(Config config, Intake intake, long now, Rejects rejects) {
    this.config = config;
    this.intake = intake;
    this.now = now;
    this.rejects = rejects;
  }

  /** Reads all files to their ends; {@code counted} runs after each line. How many records there were. */
  public long run(List<Place> places, Runnable counted) throws IOException {
    Reader reader = new Reader(config.events(), config.flows());
    List<EventFile> files = new ArrayList<>();
    try {
      for (Place place : places) {
        String name = place.file();
        files.add(named(name, () -> new EventFile(
            place.topic(), name, reader, now, config.events().future(), latest(config))));
      }
      return merge(files, counted);
    } finally {
      for (EventFile file : files) {
        file.close();
      }
    }
  }

  private static long latest(Config config) {
    long late = 0;
    for (Flow flow : config.flows()) {
      long lateness = Times.plus(flow.allowedLateness(), flow.outOfOrderness());
      late = Math.max(late, Times.plus(lateness, flow.windows().longest()));
    }
    return late;
  }

  private long merge(List<EventFile> files, Runnable counted) throws IOException {
    long records = 0;
    long[] clocks = new long[files.size()];
    Arrays.fill(clocks, Times.MIN);
    while (true) {
      int next = 0;
      for (int n = 1; n < clocks.length; n++) {
        next = clocks[n] < clocks[next] ? n : next;
      }
      if (clocks.length == 0 || clocks[next] == Times.MAX) {
        return records;
      }
      EventFile file = files.get(next);
      Line line = named(file.name, file::next);
      if (line == null) {
        clocks[next] = Times.MAX;
      } else {
        count(file, line, clocks, next);
        records++;
      }
      long least = Times.MAX;
      for (long clock : clocks) {
        least = Math.min(least, clock);
      }
      intake.advance(least);
      counted.run();
    }
  }

  private void count(EventFile file, Line line, long[] clocks, int partition) {
    if (line.digest() == null) {
      String pointer = line.reason().equals("future") ? config.events().timeOf(file.topic) : null;
      Refusal refusal = new Refusal(line.reason(), pointer);
      intake.refuse(refusal, null);
      rejects.rejected(refusal, partition, line.number());
      return;
    }
    Verdict verdict = intake.count(line.digest(), new Intake.Origin(null, now), null);
    if (verdict.time() != null) {
      clocks[partition] = Math.max(clocks[partition], verdict.time());
    }
    if (verdict.refusal() != null) {
      rejects.rejected(verdict.refusal(), partition, line.number());
    }
  }

  private interface Reading<T> {
    T read() throws IOException;
  }

  private static <T> T named(String file, Reading<T> reading) throws IOException {
    try {
      return reading.read();
    } catch (java.nio.file.NoSuchFileException error) {
      throw new IOException("cannot read " + file + ": no such file", error);
    } catch (IOException error) {
      throw new IOException("cannot read " + file + ": " + error.getMessage(), error);
    }
  }
}
