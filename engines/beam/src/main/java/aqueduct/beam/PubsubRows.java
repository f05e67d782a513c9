package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.config.Writer;
import aqueduct.count.Line;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import org.apache.beam.sdk.io.gcp.pubsub.PubsubIO;
import org.apache.beam.sdk.io.gcp.pubsub.PubsubMessage;
import org.apache.beam.sdk.io.gcp.pubsub.PubsubMessageWithAttributesAndMessageIdAndOrderingKeyCoder;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PDone;

/** Publishes each row as a message. Unlike those of the processor, messages have no stream and offset. */
final class PubsubRows extends PTransform<PCollection<Line>, PDone> {
  private static final long serialVersionUID = 1;
  private static final Map<Line.Table, String> KINDS =
      Map.of(Line.Table.ROWS, "row", Line.Table.PROGRESS, "progress", Line.Table.DEAD_LETTERS, "dead_letter");

  private final Config config;
  private final transient Writer writer;

  PubsubRows(Config config, Writer writer) {
    this.config = config;
    this.writer = writer;
  }

  @Override
  public PDone expand(PCollection<Line> rows) {
    return rows.apply("Message", ParDo.of(new Message(config)))
        .setCoder(PubsubMessageWithAttributesAndMessageIdAndOrderingKeyCoder.of())
        .apply("Publish", PubsubIO.writeMessages().to(writer.topic()).withOrderingKey());
  }

  private static final class Message extends DoFn<Line, PubsubMessage> {
    private static final long serialVersionUID = 1;
    private final Config config;

    Message(Config config) {
      this.config = config;
    }

    @ProcessElement
    public void process(@Element Line row, OutputReceiver<PubsubMessage> out) {
      Map<String, String> attributes = new TreeMap<>();
      attributes.put("kind", KINDS.get(row.table()));
      String orderingKey = null;
      if (row.flow() >= 0) {
        String flow = config.flows().get(row.flow()).name();
        attributes.put("flow", flow);
        orderingKey = row.orderingKey(row.table() == Line.Table.ROWS ? flow : flow + "_progress");
      }
      if (!row.pane().isEmpty()) {
        attributes.put("pane", row.pane());
      }
      out.output(new PubsubMessage(row.json().getBytes(StandardCharsets.UTF_8), attributes, null, orderingKey));
    }
  }
}
