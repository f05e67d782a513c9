//! How rows are divided into requests. Pure.

use event::{
    CtrRow,
    append::{Rows, Table},
};

/// Bytes of rows in one request. BigQuery takes 10 MB, including everything around the rows.
pub(crate) const BODY_BYTES: usize = 4 << 20;

/// Where to cut rows so that each part is smaller than [`BODY_BYTES`] or a single row: exclusive ends.
pub(crate) fn cuts(sizes: &[usize]) -> Vec<usize> {
    let (mut cuts, mut bytes, mut end) = (Vec::new(), 0, 0);
    for (index, size) in sizes.iter().enumerate() {
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

/// About how many bytes each row takes in a request.
pub(crate) fn sizes(rows: Rows<'_>) -> Vec<usize> {
    const FIXED: usize = 160;
    match rows {
        Rows::Ctr(rows) => rows.iter().map(|row| FIXED + key_bytes(row)).collect(),
        Rows::Progress(rows) => rows.iter().map(|_| FIXED).collect(),
        Rows::DeadLetters(rows) => {
            let text = |row: &event::row::DeadLetterRow| {
                row.topic.len() + row.reason.len() + row.pointer.as_ref().map_or(0, String::len)
            };
            rows.iter().map(|row| FIXED + text(row)).collect()
        }
    }
}

fn key_bytes(row: &CtrRow) -> usize {
    row.key.iter().map(|value| 16 + value.map_or(0, str::len)).sum()
}

/// Whether rows are of the kind that a table contains.
pub(crate) fn belongs(table: &Table, rows: Rows<'_>) -> bool {
    matches!(
        (table, rows),
        (Table::Flow(_), Rows::Ctr(_))
            | (Table::Progress(_), Rows::Progress(_))
            | (Table::DeadLetters, Rows::DeadLetters(_))
    )
}
