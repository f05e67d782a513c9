package aqueduct.beam;

import aqueduct.beam.Coders.Pane;
import aqueduct.config.Config;
import aqueduct.count.Rows;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.fs.ResourceId;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PDone;

/**
 * Writes the panes of a stream to a folder, a file for each bundle. Panes arrive when the checkpoint that holds them is
 * durable, so that after a crash the same panes are written again, and no others in their place: a reader drops copies by
 * flow, window, key and pane_index.
 */
final class RowFiles extends PTransform<PCollection<Pane>, PDone> {
  private static final long serialVersionUID = 1;
  private final Config config;
  private final String folder;

  RowFiles(Config config, String folder) {
    this.config = config;
    this.folder = folder;
  }

  @Override
  public PDone expand(PCollection<Pane> panes) {
    panes.apply("Write files", ParDo.of(new Write(config, folder)));
    return PDone.in(panes.getPipeline());
  }

  private static final class Write extends DoFn<Pane, Void> {
    private static final long serialVersionUID = 1;
    private final Config config;
    private final String folder;
    private transient List<Rows> rows;
    private transient StringBuilder lines;

    Write(Config config, String folder) {
      this.config = config;
      this.folder = folder;
    }

    @StartBundle
    public void start() {
      if (rows == null) {
        rows = new ArrayList<>();
        config.flows().forEach(flow -> rows.add(new Rows(flow)));
      }
      lines = new StringBuilder();
    }

    @RequiresStableInput
    @ProcessElement
    public void process(@Element Pane pane) {
      Rows of = rows.get(pane.place().flow());
      lines.append(of.line(pane.place().key(), pane.start(), pane.end(), pane.cells(), pane.firing())).append('\n');
    }

    @FinishBundle
    public void finish() throws IOException {
      if (lines.isEmpty()) {
        return;
      }
      String name = System.currentTimeMillis() + "-" + UUID.randomUUID();
      ResourceId target = FileSystems.matchNewResource(folder + "/" + name + ".ndjson", false);
      ResourceId unfinished = FileSystems.matchNewResource(folder + "/" + name + ".unfinished", false);
      try (OutputStream out = Channels.newOutputStream(FileSystems.create(unfinished, "application/x-ndjson"))) {
        out.write(lines.toString().getBytes(StandardCharsets.UTF_8));
      }
      FileSystems.rename(List.of(unfinished), List.of(target));
    }
  }
}
