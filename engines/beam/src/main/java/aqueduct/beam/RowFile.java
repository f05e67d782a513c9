package aqueduct.beam;

import aqueduct.count.Line;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.UUID;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.fs.ResourceId;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PDone;

/**
 * Writes all rows to one file, which is replaced when the new one is complete. TextIO would do, but with four times as
 * many steps: on a small input Flink takes longer to start them than to count.
 */
final class RowFile extends PTransform<PCollection<Line>, PDone> {
  private static final long serialVersionUID = 1;
  private final String path;

  RowFile(String path) {
    this.path = path;
  }

  @Override
  public PDone expand(PCollection<Line> rows) {
    // Without a row there is a file, too.
    PCollection<KV<Integer, String>> empty = rows.getPipeline().apply("No row", Create.of(KV.of(0, "")));
    PCollection<KV<Integer, String>> lines = rows.apply("One key", ParDo.of(new OneKey())).setCoder(empty.getCoder());
    PCollectionList.of(lines).and(empty)
        .apply("Rows of the file", Flatten.pCollections())
        .apply("One group", GroupByKey.create())
        .apply("File", ParDo.of(new Write(path)));
    return PDone.in(rows.getPipeline());
  }

  private static final class OneKey extends DoFn<Line, KV<Integer, String>> {
    private static final long serialVersionUID = 1;

    @ProcessElement
    public void process(@Element Line row, OutputReceiver<KV<Integer, String>> out) {
      if (row.table() == Line.Table.ROWS) {
        out.output(KV.of(0, row.json()));
      }
    }
  }

  private static final class Write extends DoFn<KV<Integer, Iterable<String>>, Void> {
    private static final long serialVersionUID = 1;
    private final String path;

    Write(String path) {
      this.path = path;
    }

    @ProcessElement
    public void process(@Element KV<Integer, Iterable<String>> rows) throws IOException {
      ResourceId target = FileSystems.matchNewResource(path, false);
      // A step that is tried again must not meet the half of the first attempt.
      ResourceId unfinished = FileSystems.matchNewResource(path + "." + UUID.randomUUID(), false);
      try (OutputStream out = Channels.newOutputStream(FileSystems.create(unfinished, "application/x-ndjson"));
          OutputStream buffered = new BufferedOutputStream(out, 1 << 16)) {
        for (String row : rows.getValue()) {
          if (!row.isEmpty()) {
            buffered.write(row.getBytes(StandardCharsets.UTF_8));
            buffered.write('\n');
          }
        }
      }
      FileSystems.rename(List.of(unfinished), List.of(target));
    }
  }
}
