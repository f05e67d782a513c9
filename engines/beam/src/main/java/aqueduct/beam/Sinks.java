package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.config.Problems;
import aqueduct.config.Writer;
import aqueduct.count.Line;
import java.util.List;
import org.apache.beam.sdk.extensions.gcp.auth.NoopCredentialFactory;
import org.apache.beam.sdk.extensions.gcp.options.GcpOptions;
import org.apache.beam.sdk.io.gcp.pubsub.PubsubOptions;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PDone;

/** Writes rows to every configured writer. A row may be written more than once, as after a failure. */
final class Sinks extends PTransform<PCollection<Line>, PDone> {
  private static final long serialVersionUID = 1;
  private final transient Config config;
  private final transient List<Writer> writers;

  Sinks(Config config) throws Problems.Invalid {
    this.config = config;
    writers = config.writers();
  }

  /** Sets the options of Beam that follow from the configuration. */
  static void configure(PipelineOptions options, Config config) throws Problems.Invalid {
    String emulator = config.pubsubEmulator();
    if (emulator != null) {
      options.as(PubsubOptions.class).setPubsubRootUrl("http://" + emulator);
      options.as(GcpOptions.class).setCredentialFactoryClass(NoopCredentialFactory.class);
    }
  }

  @Override
  public PDone expand(PCollection<Line> rows) {
    for (int n = 0; n < writers.size(); n++) {
      Writer writer = writers.get(n);
      rows.apply("Writer " + n, writer.topic() == null ? new BigQueryRows(config, writer) : new PubsubRows(config, writer));
    }
    return PDone.in(rows.getPipeline());
  }
}
