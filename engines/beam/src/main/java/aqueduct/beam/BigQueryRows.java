package aqueduct.beam;

import aqueduct.config.Config;
import aqueduct.config.Writer;
import aqueduct.count.Line;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonToken;
import com.google.api.services.bigquery.model.TableRow;
import java.io.IOException;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryIO;
import org.apache.beam.sdk.io.gcp.bigquery.RowMutationInformation;
import org.apache.beam.sdk.io.gcp.bigquery.RowMutationInformation.MutationType;
import org.apache.beam.sdk.io.gcp.bigquery.TableDestination;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PDone;

/**
 * Sends rows to the tables that `aqueduct setup` creates for mode = "upsert". A flow's row replaces an older pane of its
 * window and key, so a repetition changes nothing; progress and dead letters are added, and may be repeated.
 */
final class BigQueryRows extends PTransform<PCollection<Line>, PDone> {
  private static final long serialVersionUID = 1;
  private static final JsonFactory JSON = new JsonFactory();

  private final Config config;
  private final String tables;

  BigQueryRows(Config config, Writer writer) {
    this.config = config;
    tables = writer.project() + ":" + writer.dataset() + ".";
  }

  @Override
  public PDone expand(PCollection<Line> rows) {
    // Copies, so that nothing refers to this transform, which cannot be serialised as part of a function.
    Config of = config;
    String prefix = tables;
    BigQueryIO.Write<Line> write = BigQueryIO.<Line>write()
        .to(row -> new TableDestination(prefix + table(row.getValue(), of), null))
        .withFormatFunction(BigQueryRows::row)
        .withMethod(BigQueryIO.Write.Method.STORAGE_API_AT_LEAST_ONCE)
        .withCreateDisposition(BigQueryIO.Write.CreateDisposition.CREATE_NEVER)
        .withWriteDisposition(BigQueryIO.Write.WriteDisposition.WRITE_APPEND);
    rows.apply("Panes", Filter.by(row -> row.table() == Line.Table.ROWS))
        .apply("Upsert", write.withRowMutationInformationFn(row ->
            RowMutationInformation.of(MutationType.UPSERT, Long.toHexString(row.index()))));
    rows.apply("Others", Filter.by(row -> row.table() != Line.Table.ROWS)).apply("Append", write);
    return PDone.in(rows.getPipeline());
  }

  private static String table(Line row, Config config) {
    return switch (row.table()) {
      case ROWS -> config.flows().get(row.flow()).name();
      case PROGRESS -> config.flows().get(row.flow()).name() + "_progress";
      case DEAD_LETTERS -> "dead_letters";
    };
  }

  /** The columns of a row; numbers as their digits, because a double would change some of them. */
  private static TableRow row(Line line) {
    TableRow row = new TableRow();
    try (JsonParser json = JSON.createParser(line.json())) {
      json.nextToken();
      while (json.nextToken() == JsonToken.FIELD_NAME) {
        String column = json.currentName();
        if (json.nextToken() != JsonToken.VALUE_NULL && !column.equals("flow")) {
          row.set(column, json.getText());
        }
      }
    } catch (IOException error) {
      throw new IllegalStateException("a row is always JSON", error);
    }
    if (line.table() == Line.Table.ROWS) {
      row.set("aqueduct_key", line.rowKey());
    }
    return row;
  }
}
