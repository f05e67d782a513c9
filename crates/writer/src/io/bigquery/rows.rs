//! Rows as Arrow: the schema is one message, each body a record batch message, as the Storage
//! Write API takes them.
//!
//! Checkpoints hold these bytes. Arrow's format is stable, and the columns follow from the flow,
//! which must not be edited.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    compute::filter_record_batch,
    datatypes::{DataType, Field, Schema, TimeUnit},
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use event::append::{Append, Body, Rows, Table};

use crate::{
    WriterError,
    cells::{self, Cell},
    schema::{Column, Kind},
    stamp, writer,
};

/// A row beyond this fits no request: BigQuery takes 10 MB with everything around it.
const ROW_BYTES: usize = 8 << 20;

/// The rows that fit no request.
pub(crate) fn too_large(rows: Rows<'_>) -> Vec<usize> {
    let sizes = writer::sizes(rows).into_iter().enumerate();
    sizes.filter(|(_, size)| *size > ROW_BYTES).map(|(index, _)| index).collect()
}

/// The Arrow schema of a table as an IPC message.
pub(crate) fn schema_message(columns: &[Column]) -> Vec<u8> {
    StreamWriter::try_new(Vec::new(), &arrow_schema(columns))
        .map(|writer| writer.get_ref().clone())
        .expect("a schema of plain columns is written to memory without fail")
}

/// Rows as record batch messages.
pub(crate) fn encode(
    table: &Table,
    columns: &[Column],
    join: bool,
    rows: Rows<'_>,
) -> Result<Vec<Body>, WriterError> {
    let failed = |source| WriterError::Encode { table: table.name(), source };
    if !writer::belongs(table, rows) {
        return Err(failed("the rows are of another kind than the table".into()));
    }
    let sizes = writer::sizes(rows);
    if let Some(index) = sizes.iter().position(|size| *size > ROW_BYTES) {
        return Err(WriterError::TooLarge { table: table.name(), index });
    }
    let cuts = writer::cuts(&sizes);
    let schema = Arc::new(arrow_schema(columns));
    let mut bodies = Vec::with_capacity(cuts.len());
    let mut start = 0;
    for end in cuts {
        let mut builders = Builders::new(columns);
        match rows {
            Rows::Ctr(rows) => {
                for row in &rows[start..end] {
                    cells::pane(row, join, &mut |cell| builders.add(cell));
                }
            }
            Rows::Progress(rows) => {
                for row in &rows[start..end] {
                    cells::progress(row, &mut |cell| builders.add(cell));
                }
            }
            Rows::DeadLetters(rows) => {
                for row in &rows[start..end] {
                    cells::dead_letter(row, &mut |cell| builders.add(cell));
                }
            }
        }
        let bytes = batch_message(&schema, builders).map_err(|source| failed(source.into()))?;
        let rows = u32::try_from(end - start).expect("a body of a few megabytes has fewer than 2^32 rows");
        bodies.push(Body { rows, bytes });
        start = end;
    }
    Ok(bodies)
}

/// The append without these rows.
pub(crate) fn without(append: &Append, columns: &[Column], rows: &[u32]) -> Result<Body, WriterError> {
    let failed =
        |source: ArrowError| WriterError::Encode { table: append.table.name(), source: source.into() };
    let Some(batch) = decode(append, columns)? else { return Ok(Body { rows: 0, bytes: Vec::new() }) };
    let keep: BooleanArray = (0..append.rows).map(|index| Some(!rows.contains(&index))).collect();
    let batch = filter_record_batch(&batch, &keep).map_err(failed)?;
    let kept = u32::try_from(batch.num_rows()).expect("a part has no more rows than the whole");
    let bytes = message(&Arc::new(arrow_schema(columns)), &batch).map_err(failed)?;
    Ok(Body { rows: kept, bytes })
}

/// The rows of an append, if it has any.
pub(crate) fn decode(append: &Append, columns: &[Column]) -> Result<Option<RecordBatch>, WriterError> {
    let failed =
        |source: ArrowError| WriterError::Encode { table: append.table.name(), source: source.into() };
    let mut stream = schema_message(columns);
    stream.extend_from_slice(&append.body);
    let mut reader = StreamReader::try_new(stream.as_slice(), None).map_err(failed)?;
    reader.next().transpose().map_err(failed)
}

fn batch_message(schema: &Arc<Schema>, builders: Builders) -> Result<Vec<u8>, ArrowError> {
    message(schema, &RecordBatch::try_new(schema.clone(), builders.finish())?)
}

fn message(schema: &Arc<Schema>, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    // A stream is the schema's message and then one a batch; the latter alone is what is wanted.
    let mut stream = StreamWriter::try_new(Vec::new(), schema)?;
    let begin = stream.get_ref().len();
    stream.write(batch)?;
    let mut bytes = std::mem::take(stream.get_mut());
    bytes.drain(..begin);
    Ok(bytes)
}

fn arrow_schema(columns: &[Column]) -> Schema {
    let fields: Vec<_> = columns
        .iter()
        .map(|column| {
            let kind = match column.kind {
                Kind::Text => DataType::Utf8,
                Kind::Integer => DataType::Int64,
                Kind::Real => DataType::Float64,
                Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            };
            Field::new(&column.name, kind, true)
        })
        .collect();
    Schema::new(fields)
}

/// One array being filled for each column, row by row.
struct Builders {
    columns: Vec<Builder>,
    at: usize,
}

enum Builder {
    Text(StringBuilder),
    Integer(Int64Builder),
    Real(Float64Builder),
    Time(TimestampMicrosecondBuilder),
}

impl Builders {
    fn new(columns: &[Column]) -> Self {
        let columns = columns.iter().map(|column| match column.kind {
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Integer => Builder::Integer(Int64Builder::new()),
            Kind::Real => Builder::Real(Float64Builder::new()),
            Kind::Time => Builder::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
        });
        Self { columns: columns.collect(), at: 0 }
    }

    fn add(&mut self, cell: Cell<'_>) {
        match (&mut self.columns[self.at], cell) {
            (Builder::Text(builder), Cell::Text(text)) => builder.append_value(text),
            (Builder::Text(builder), _) => builder.append_null(),
            (Builder::Integer(builder), Cell::Integer(number)) => builder.append_value(number),
            (Builder::Integer(builder), _) => builder.append_null(),
            (Builder::Real(builder), Cell::Real(number)) => builder.append_value(number),
            (Builder::Real(builder), _) => builder.append_null(),
            (Builder::Time(builder), Cell::Time(time)) => builder.append_value(stamp::millis(time) * 1000),
            (Builder::Time(builder), _) => builder.append_null(),
        }
        self.at = (self.at + 1) % self.columns.len();
    }

    fn finish(self) -> Vec<ArrayRef> {
        let arrays = self.columns.into_iter().map(|builder| match builder {
            Builder::Text(mut builder) => Arc::new(builder.finish()) as ArrayRef,
            Builder::Integer(mut builder) => Arc::new(builder.finish()),
            Builder::Real(mut builder) => Arc::new(builder.finish()),
            Builder::Time(mut builder) => Arc::new(builder.finish()),
        });
        arrays.collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use event::{Ctr, CtrRow, EventTime, Millis, Pane, Window, row::FlowTable};

    use super::*;
    use crate::schema;

    fn row(key: &str) -> CtrRow {
        CtrRow {
            key: [Some(key.into()), None].into(),
            window: Window { start: EventTime(0), end: EventTime(60_000) },
            ctr: Ctr { views: 2, clicks: 3, attributed: 1 },
            pane: Pane::Late,
            pane_index: 2,
            watermark: EventTime::MAX,
            emitted_at: EventTime(5),
        }
    }

    #[test]
    fn messages_are_a_stream_that_arrow_reads() {
        let flow = FlowTable {
            flow: "f".into(),
            columns: vec!["page".to_owned(), "box".to_owned()],
            join: true,
            allowed_lateness: Millis(0),
        };
        let columns = schema::pane_columns(&flow);
        let long = "x".repeat(1 << 20);
        let rows: Vec<_> = (0..10).map(|_| row(&long)).collect();
        let table = Table::Flow("f".into());
        let bodies = encode(&table, &columns, true, Rows::Ctr(&rows)).expect("the rows fit");
        assert!(bodies.len() > 1 && bodies.iter().all(|body| body.bytes.len() < 9 << 20));
        assert_eq!(bodies, encode(&table, &columns, true, Rows::Ctr(&rows)).expect("the rows fit"));
        assert_eq!(bodies.iter().map(|body| body.rows).sum::<u32>(), 10);

        let mut stream = schema_message(&columns);
        for body in &bodies {
            stream.extend_from_slice(&body.bytes);
        }
        let reader = StreamReader::try_new(stream.as_slice(), None).expect("the schema reads");
        let batches: Vec<_> = reader.map(|batch| batch.expect("a batch reads")).collect();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
        let first = &bodies[0];
        let append = Append {
            table: table.clone(),
            stream: "s".to_owned(),
            offset: 0,
            rows: first.rows,
            body: first.bytes.clone().into(),
        };
        let rest = without(&append, &columns, &[0]).expect("the rows read");
        let expected =
            encode(&table, &columns, true, Rows::Ctr(&rows[1..first.rows as usize])).expect("the rows fit");
        assert_eq!(vec![rest], expected);
        let boxes = batches[0].column_by_name("box").expect("the column is there");
        assert_eq!(boxes.null_count(), boxes.len());
    }
}
