//! How rows are divided into requests. Pure.

use flow::{
    append::Rows,
    row::{DeadLetterRow, Row, Value},
};

/// Bytes of rows in one request. BigQuery takes 10 MB, including everything around the rows.
pub(crate) const BODY_BYTES: usize = 4 << 20;

/// Bytes of a row beside its contents and its columns.
const FIXED: usize = 32;
/// Bytes that a column takes in a row, beside text and other contents.
const COLUMN: usize = 12;

/// Where to cut rows of this many columns so that each part is smaller than [`BODY_BYTES`] or a single row: exclusive
/// ends.
pub(crate) fn cuts(sizes: &[usize], columns: usize) -> Vec<usize> {
    let (mut cuts, mut bytes, mut end) = (Vec::new(), 0, 0);
    for (index, size) in sizes.iter().enumerate() {
        let size = size + COLUMN * columns;
        if bytes > 0 && bytes + size > BODY_BYTES {
            cuts.push(index);
            bytes = 0;
        }
        bytes += size;
        end = index + 1;
    }
    if end > 0 {
        cuts.push(end);
    }
    cuts
}

/// Rows (indexes) of an append to look for in its table, spread over the append. Because an append is atomic, finding one
/// is enough; there are several because rows may have been deleted since.
pub(crate) fn witnesses(rows: u32) -> impl Iterator<Item = usize> {
    const MOST: u32 = 8;
    let step = (rows / MOST).max(1);
    (0..rows).step_by(step as usize).take(MOST as usize).map(|index| index as usize)
}

/// About how many bytes the contents of each row take in a request, without what its columns take in any case.
pub(crate) fn sizes(rows: Rows<'_>) -> Vec<usize> {
    match rows {
        Rows::Panes(rows) => rows.iter().map(|row| FIXED + pane_bytes(row)).collect(),
        Rows::Progress(rows) => rows.iter().map(|_| FIXED).collect(),
        Rows::DeadLetters(rows) => {
            let text = |row: &DeadLetterRow| {
                row.topic.len() + row.reason.len() + row.pointer.as_ref().map_or(0, String::len)
            };
            rows.iter().map(|row| FIXED + text(row)).collect()
        }
    }
}

fn pane_bytes(row: &Row) -> usize {
    /// A decimal has at most 48 digits before the point and nine after it.
    const DECIMAL: usize = 64;
    let key: usize = row.key.iter().map(|value| 16 + value.map_or(0, str::len)).sum();
    let value = |value: &Value| match value {
        Value::Null | Value::Count(_) => 0,
        Value::Number(_) => DECIMAL,
        Value::Distinct(estimate) => estimate.sketch.as_ref().map_or(0, |sketch| 16 + sketch.len()),
    };
    key + row.values.iter().map(value).sum::<usize>()
}
