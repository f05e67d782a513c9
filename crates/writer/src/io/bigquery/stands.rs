//! Whether the rows of an append stand in their table, whatever stream they came by: one query for a few of its rows,
//! in all their columns.
//!
//! A stream of committed type shows what it took to every query that begins later. This is asked only once the stream
//! takes nothing more, so that the answer stays right.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use event::append::Append;
use google_cloud_bigquery_v2::model::{QueryParameter, QueryParameterType, QueryParameterValue};

use super::{BigQuery, fault, read, rows};
use crate::{
    WriterError,
    schema::{Column, Kind},
    writer,
};

/// Text in a query's parameters; a row that has more asks alone.
const TEXT_BYTES: usize = 256 << 10;

/// A condition that only the wanted rows fulfil.
struct Wanted {
    sql: Vec<String>,
    texts: Vec<String>,
    bytes: usize,
    /// The first and the last microsecond of the time by which the table is partitioned.
    times: Option<(i64, i64)>,
}

pub(crate) async fn ask(
    bigquery: &BigQuery,
    append: &Append,
    columns: &[Column],
) -> Result<bool, WriterError> {
    let name = append.table.name();
    let Some(batch) = rows::decode(append, columns)? else { return Ok(false) };
    let wanted = Wanted::of(&batch, columns, bigquery.tables.partitioned_by(&append.table));
    let Some((from, to)) = wanted.times else { return Ok(false) };
    // The times once more by themselves, so that BigQuery reads only the partitions that they name.
    let sql = format!(
        "SELECT COUNT(*) AS n FROM {} AS t WHERE t.`{}` BETWEEN TIMESTAMP_MICROS({from}) AND TIMESTAMP_MICROS({to}) \
         AND ({})",
        bigquery.quoted(&name),
        bigquery.tables.partitioned_by(&append.table),
        wanted.sql.join(" OR ")
    );
    let parameters = wanted.texts.into_iter().enumerate().map(|(n, text)| parameter(n, text));
    let doing = format!("look for rows in {name}");
    let query = bigquery
        .queries
        .query(sql)
        .set_location(&bigquery.config.location)
        .set_use_query_cache(false)
        .set_parameter_mode("NAMED")
        .set_query_parameters(parameters);
    let done = query.until_done().await.map_err(|error| fault::query(doing.clone(), error))?;
    let answer = done.read().next().await;
    let row = answer.transpose().map_err(|error| fault::row(doing, error))?;
    let found: Option<i64> = match row {
        Some(row) => read::cell(&row, "n", &name)?,
        None => None,
    };
    found.map(|rows| rows > 0).ok_or(WriterError::Value { table: name, column: "COUNT(*)".to_owned() })
}

impl Wanted {
    fn of(batch: &RecordBatch, columns: &[Column], time: &str) -> Self {
        let mut wanted = Self { sql: Vec::new(), texts: Vec::new(), bytes: 0, times: None };
        let rows = u32::try_from(batch.num_rows()).expect("an append has fewer than 2^32 rows");
        for row in writer::witnesses(rows) {
            if wanted.bytes < TEXT_BYTES {
                wanted.row(batch, columns, row, time);
            }
        }
        wanted
    }

    fn row(&mut self, batch: &RecordBatch, columns: &[Column], row: usize, time: &str) {
        let mut same = Vec::with_capacity(columns.len());
        for (index, Column { name, kind }) in columns.iter().enumerate() {
            let array = batch.column(index);
            if array.is_null(row) {
                same.push(format!("t.`{name}` IS NULL"));
                continue;
            }
            match kind {
                Kind::Text => {
                    let text = array.as_string::<i32>().value(row);
                    same.push(format!("t.`{name}` = @p{}", self.texts.len()));
                    self.bytes += text.len();
                    self.texts.push(text.to_owned());
                }
                Kind::Integer => {
                    same.push(format!("t.`{name}` = {}", array.as_primitive::<Int64Type>().value(row)));
                }
                Kind::Time => {
                    let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                    same.push(format!("t.`{name}` = TIMESTAMP_MICROS({micros})"));
                    if name == time {
                        let (from, to) = self.times.unwrap_or((micros, micros));
                        self.times = Some((from.min(micros), to.max(micros)));
                    }
                }
                // They follow from the counts.
                Kind::Real => {}
            }
        }
        self.sql.push(format!("({})", same.join(" AND ")));
    }
}

fn parameter(number: usize, text: String) -> QueryParameter {
    QueryParameter::new()
        .set_name(format!("p{number}"))
        .set_parameter_type(QueryParameterType::new().set_type("STRING"))
        .set_parameter_value(QueryParameterValue::new().set_value(text))
}
