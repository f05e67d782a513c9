package aqueduct.beam;

import aqueduct.count.Line;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.fs.ResourceId;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PDone;

/**
 * Writes the rows of a stream to the folders rows, progress and dead_letters of a folder, a file for each bundle. After a crash rows may be there twice: a reader drops
 * copies by flow, window, key and pane_index.
 */
final class RowFiles extends PTransform<PCollection<Line>, PDone> {
  private static final long serialVersionUID = 1;
  private final String folder;

  RowFiles(String folder) {
    this.folder = folder;
  }

  @Override
  public PDone expand(PCollection<Line> rows) {
    rows.apply("Files", ParDo.of(new Write(folder)));
    return PDone.in(rows.getPipeline());
  }

  private static final class Write extends DoFn<Line, Void> {
    private static final long serialVersionUID = 1;
    private final String folder;
    private transient Map<Line.Table, StringBuilder> lines;

    Write(String folder) {
      this.folder = folder;
    }

    @StartBundle
    public void start() {
      lines = new EnumMap<>(Line.Table.class);
    }

    @ProcessElement
    public void process(@Element Line row) {
      lines.computeIfAbsent(row.table(), of -> new StringBuilder()).append(row.json()).append('\n');
    }

    @FinishBundle
    public void finish() throws IOException {
      for (Map.Entry<Line.Table, StringBuilder> table : lines.entrySet()) {
        String name = folder + "/" + table.getKey().name().toLowerCase(Locale.ROOT) + "/" + System.currentTimeMillis() + "-"
            + UUID.randomUUID();
        ResourceId target = FileSystems.matchNewResource(name + ".ndjson", false);
        ResourceId unfinished = FileSystems.matchNewResource(name + ".unfinished", false);
        try (OutputStream out = Channels.newOutputStream(FileSystems.create(unfinished, "application/x-ndjson"))) {
          out.write(table.getValue().toString().getBytes(StandardCharsets.UTF_8));
        }
        FileSystems.rename(List.of(unfinished), List.of(target));
      }
    }
  }
}
