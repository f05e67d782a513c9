package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.count.Codec;
import aqueduct.count.Ledger;
import aqueduct.count.Line;
import aqueduct.count.Rows;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.beam.sdk.state.StateSpec;
import org.apache.beam.sdk.state.StateSpecs;
import org.apache.beam.sdk.state.ValueState;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.values.KV;

/** A flow's rows of progress: the ledgers of all readers, with what its join has found out since and the panes that fired. */
final class Progress extends DoFn<KV<Integer, Ledger>, Line> {
  private static final long serialVersionUID = 1;
  private final Config config;
  private final int shards;

  @StateId("ledgers")
  private final StateSpec<ValueState<List<Ledger>>> ledgers = StateSpecs.value(new OfLedgers());

  Progress(Config config, int shards) {
    this.config = config;
    this.shards = shards;
  }

  @ProcessElement
  public void process(@Element KV<Integer, Ledger> element, @StateId("ledgers") ValueState<List<Ledger>> state,
      OutputReceiver<Line> out) {
    Ledger ledger = element.getValue();
    List<Ledger> known = state.read() == null ? new ArrayList<>() : new ArrayList<>(state.read());
    Ledger before = known.stream().filter(other -> other.shard() == ledger.shard()).findFirst().orElse(null);
    known.remove(before);
    known.add(ledger.isTotal() || before == null ? ledger : before.plus(ledger));
    state.write(known);
    List<Ledger> readers = known.stream().filter(Ledger::isTotal).toList();
    if (ledger.isTotal() && ledger.shard() == 0 && readers.size() == shards) {
      Ledger sum = readers.stream().reduce(Ledger::plus).orElseThrow();
      for (Ledger join : known) {
        sum = join.isTotal() ? sum : sum.plus(join);
      }
      int flow = element.getKey();
      Rows rows = new Rows(config.flows().get(flow));
      out.output(rows.progress(flow, sum.at(), sum.watermark(), sum.columns(), sum.detail()));
    }
  }

  private static final class OfLedgers extends Coders.Fields<List<Ledger>> {
    private static final long serialVersionUID = 1;

    @Override
    void write(List<Ledger> ledgers, DataOutputStream out) throws IOException {
      Codec.writeLong(out, ledgers.size());
      for (Ledger ledger : ledgers) {
        ledger.write(out);
      }
    }

    @Override
    List<Ledger> read(DataInputStream in) throws IOException {
      List<Ledger> ledgers = new ArrayList<>();
      for (long left = Codec.readLong(in); left > 0; left--) {
        ledgers.add(Ledger.read(in));
      }
      return ledgers;
    }
  }
}
