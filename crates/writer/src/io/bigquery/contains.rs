//! Whether the rows of an append are in their table, whatever stream they arrived by: one query for a few of its rows, in
//! all their columns.
//!
//! A query that begins after a stream of committed type took rows sees them. The table is queried only once the stream
//! takes no more rows, so that the answer stays right.

use flow::{
    append::Append,
    number::Total,
    row::{Column, Kind},
};

use super::{BigQuery, read, rows, rows::Parts};
use crate::{
    WriterError,
    cells::Value,
    requests,
    schema::{self, Target},
};

/// Text in a query's parameters; a row with more is the only one in its query.
const TEXT_BYTES: usize = 256 << 10;

/// A condition that only the wanted rows fulfil.
#[derive(Debug, Default)]
struct Wanted {
    sql: Vec<String>,
    texts: Vec<String>,
    bytes: usize,
    /// The first and the last microsecond of the time by which the table is partitioned.
    times: Option<(i64, i64)>,
}

pub(super) async fn ask(
    bigquery: &BigQuery,
    append: &Append,
    target: &Target<'_>,
) -> Result<bool, WriterError> {
    let name = append.table.name();
    let time = schema::partitioned_by(&append.table);
    let wanted = Wanted::of(append, target, time)?;
    let Some((from, to)) = wanted.times else { return Ok(false) };
    // The times again on their own, so that BigQuery reads only the partitions that they name.
    let sql = format!(
        "SELECT COUNT(*) AS n FROM {} AS t WHERE t.`{time}` BETWEEN TIMESTAMP_MICROS({from}) AND TIMESTAMP_MICROS({to}) \
         AND ({})",
        bigquery.quoted(&name),
        wanted.sql.join(" OR ")
    );
    let doing = format!("look for rows in {name}");
    let found = read::run(bigquery, &sql, &wanted.texts, (&doing, &name)).await?;
    let rows: Option<i64> = found.single("n")?;
    rows.map(|rows| rows > 0).ok_or(WriterError::Value { table: name, column: "COUNT(*)".to_owned() })
}

impl Wanted {
    fn of(append: &Append, target: &Target<'_>, time: &str) -> Result<Self, WriterError> {
        let body = rows::current(append, target)?;
        let parts = Parts::read(append, &body)?;
        let columns = parts.columns(append, &target.columns)?;
        let encoded = parts.iter(append).collect::<Result<Vec<_>, _>>()?;
        let mut wanted = Self::default();
        for row in requests::witnesses(append.rows) {
            if wanted.bytes < TEXT_BYTES {
                let row = encoded.get(row).and_then(|row| rows::values(row, columns.len()));
                wanted.row(&row.ok_or_else(|| rows::malformed(append))?, &columns, time);
            }
        }
        Ok(wanted)
    }

    fn row(&mut self, values: &[Value], columns: &[Option<Column>], time: &str) {
        let mut same = Vec::with_capacity(columns.len());
        for (column, value) in columns.iter().zip(values) {
            // A column that this configuration no longer has is not compared.
            let Some(Column { name, kind }) = column else { continue };
            match value {
                // Rates follow from what they divide; sketches are compared by their estimate.
                _ if matches!(kind, Kind::Real | Kind::Bytes) => {}
                Value::Null => same.push(format!("t.`{name}` IS NULL")),
                // A number beyond NUMERIC is in no table, and casting it would be an error.
                Value::Text(text)
                    if *kind == Kind::Decimal && Total::parse(text).and_then(Total::amount).is_none() =>
                {
                    same.push("FALSE".to_owned());
                }
                Value::Text(text) => {
                    let parameter = format!("@p{}", self.texts.len());
                    same.push(match kind {
                        Kind::Decimal => format!("t.`{name}` = CAST({parameter} AS NUMERIC)"),
                        _ => format!("t.`{name}` = {parameter}"),
                    });
                    self.bytes += text.len();
                    self.texts.push(text.clone());
                }
                Value::Integer(micros) if *kind == Kind::Time => {
                    same.push(format!("t.`{name}` = TIMESTAMP_MICROS({micros})"));
                    if name == time {
                        let (from, to) = self.times.unwrap_or((*micros, *micros));
                        self.times = Some((from.min(*micros), to.max(*micros)));
                    }
                }
                Value::Integer(number) => same.push(format!("t.`{name}` = {number}")),
                Value::Real(_) | Value::Bytes => {}
            }
        }
        self.sql.push(format!("({})", same.join(" AND ")));
    }
}
