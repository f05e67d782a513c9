package aqueduct.beam;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.extensions.gcp.auth.NoopCredentialFactory;
import org.apache.beam.sdk.extensions.gcp.options.GcpOptions;
import org.apache.beam.sdk.io.gcp.pubsub.PubsubIO;
import org.apache.beam.sdk.io.gcp.pubsub.PubsubMessage;
import org.apache.beam.sdk.io.gcp.pubsub.PubsubOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.transforms.Count;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.AfterPane;
import org.apache.beam.sdk.transforms.windowing.AfterWatermark;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.joda.time.Duration;

/**
 * Events by page in windows of ten seconds, read by PubsubIO as a tutorial of Beam would, to compare what is counted twice
 * or late with {@link PubSubSource}. The time of an event is that of its record in Kafka. Writes a line for each pane.
 */
public final class PlainStream {
  private PlainStream() {}

  /** Options beside those of Flink. */
  public interface Options extends FlinkPipelineOptions, PubsubOptions, GcpOptions {
    String getSubscription();

    void setSubscription(String subscription);

    String getOutput();

    void setOutput(String output);
  }

  public static void main(String[] arguments) {
    PipelineOptionsFactory.register(Options.class);
    Options options = PipelineOptionsFactory.fromArgs(arguments).as(Options.class);
    options.setStreaming(true);
    options.setCredentialFactoryClass(NoopCredentialFactory.class);
    Pipeline pipeline = Pipeline.create(options);
    pipeline.apply(PubsubIO.readMessagesWithAttributes().fromSubscription(options.getSubscription())
            .withTimestampAttribute("kafka.timestamp"))
        .apply(ParDo.of(new Page()))
        .apply(Window.<String>into(FixedWindows.of(Duration.standardSeconds(10)))
            .triggering(AfterWatermark.pastEndOfWindow().withLateFirings(AfterPane.elementCountAtLeast(1)))
            .withAllowedLateness(Duration.standardMinutes(20)).accumulatingFiredPanes())
        .apply(Count.perElement())
        .apply(ParDo.of(new Lines(options.getOutput())));
    pipeline.run().waitUntilFinish();
  }

  private static final class Page extends DoFn<PubsubMessage, String> {
    private static final long serialVersionUID = 1;
    private static final ObjectMapper JSON = new ObjectMapper();

    @ProcessElement
    public void process(@Element PubsubMessage message, OutputReceiver<String> out) throws IOException {
      JsonNode page = JSON.readTree(message.getPayload()).path("page");
      if (page.isTextual()) {
        out.output(page.asText());
      }
    }
  }

  private static final class Lines extends DoFn<KV<String, Long>, Void> {
    private static final long serialVersionUID = 1;
    private final String output;

    Lines(String output) {
      this.output = output;
    }

    @ProcessElement
    public void process(@Element KV<String, Long> counted, BoundedWindow window, PaneInfo pane) throws IOException {
      String line = String.join("\t", window.maxTimestamp().toString(), counted.getKey(),
          Long.toString(pane.getIndex()), pane.getTiming().toString(), counted.getValue().toString()) + "\n";
      Files.writeString(Path.of(output), line, StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }
  }
}
