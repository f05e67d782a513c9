package aqueduct.beam;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.CoderRegistry;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.VarLongCoder;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.transforms.Combine;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.SlidingWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.joda.time.Duration;
import org.joda.time.Instant;

/** The flow of `make bench-replay` as a tutorial of Beam would write it, to measure what counting at the source saves. */
public final class Plain {
  private Plain() {}

  public static void main(String[] arguments) {
    PipelineOptionsFactory.register(Run.Options.class);
    Run.Options options = PipelineOptionsFactory.fromArgs(arguments).as(Run.Options.class);
    Pipeline pipeline = Run.pipeline(options);
    pipeline.apply(TextIO.read().from(options.getFiles().get(0)))
        .apply(ParDo.of(new Parse()))
        .apply(Window.into(SlidingWindows.of(Duration.standardMinutes(10)).every(Duration.standardMinutes(1))))
        .apply(Combine.perKey(new Counts()))
        .apply(ParDo.of(new Format()))
        .apply(TextIO.write().to(options.getOutput()).withoutSharding());
    pipeline.run().waitUntilFinish();
    System.exit(0);
  }

  private static final class Parse extends DoFn<String, KV<String, Boolean>> {
    private static final long serialVersionUID = 1;
    private static final ObjectMapper JSON = new ObjectMapper();

    @ProcessElement
    public void process(@Element String line, OutputReceiver<KV<String, Boolean>> out) throws IOException {
      JsonNode event = JSON.readTree(line);
      String type = event.path("type").asText();
      if (type.equals("view") || type.equals("click")) {
        String key = event.get("page").asText() + "\n" + event.get("box").asText();
        out.outputWithTimestamp(KV.of(key, type.equals("click")), Instant.parse(event.get("time").asText()));
      }
    }
  }

  /** Views and clicks. */
  private static final class Counts extends Combine.CombineFn<Boolean, KV<Long, Long>, KV<Long, Long>> {
    private static final long serialVersionUID = 1;

    @Override
    public KV<Long, Long> createAccumulator() {
      return KV.of(0L, 0L);
    }

    @Override
    public KV<Long, Long> addInput(KV<Long, Long> counts, Boolean isClick) {
      return KV.of(counts.getKey() + (isClick ? 0 : 1), counts.getValue() + (isClick ? 1 : 0));
    }

    @Override
    public KV<Long, Long> mergeAccumulators(Iterable<KV<Long, Long>> all) {
      KV<Long, Long> sum = createAccumulator();
      for (KV<Long, Long> one : all) {
        sum = KV.of(sum.getKey() + one.getKey(), sum.getValue() + one.getValue());
      }
      return sum;
    }

    @Override
    public KV<Long, Long> extractOutput(KV<Long, Long> counts) {
      return counts;
    }

    @Override
    public Coder<KV<Long, Long>> getAccumulatorCoder(CoderRegistry registry, Coder<Boolean> input) {
      return KvCoder.of(VarLongCoder.of(), VarLongCoder.of());
    }
  }

  private static final class Format extends DoFn<KV<String, KV<Long, Long>>, String> {
    private static final long serialVersionUID = 1;

    @ProcessElement
    public void process(
        @Element KV<String, KV<Long, Long>> counts, BoundedWindow window, OutputReceiver<String> out) {
      String[] key = counts.getKey().split("\n");
      Instant end = window.maxTimestamp().plus(Duration.millis(1));
      out.output("{\"page\":\"" + key[0] + "\",\"box\":\"" + key[1] + "\",\"window_end\":\"" + end + "\",\"views\":"
          + counts.getValue().getKey() + ",\"clicks\":" + counts.getValue().getValue() + "}");
    }
  }
}
