//! Rows as lines of JSON: `flow`, then the columns of the flow's table in their order, NULL as `null`. Decimals are
//! numbers with all their digits, bytes are base64.
//!
//! Neighbours share their window and their firing, and small counts repeat: each of the three is written once and then
//! copied.

use std::{
    hash::{Hash as _, Hasher as _},
    io::Write as _,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use event::EventTime;
use flow::{
    Window,
    row::{Cell, FlowTable, Pane, Row, Shows, Value, Values},
};
use rustc_hash::FxHasher;

use crate::stamp;

/// How the rows of one flow are written; made once a flow.
#[derive(Clone, Debug)]
pub struct NdjsonFormat {
    table: FlowTable,
    /// What precedes each value: `{"flow":"box_ctr","page":`, then `,"box":` and so on.
    before: Vec<Box<[u8]>>,
    window: Memo<Window>,
    firing: Memo<Firing>,
    /// By the lowest bits of a hash. Empty for a flow whose rows carry sketches, which are large and rarely repeat.
    measures: Vec<Memo<Values>>,
}

/// When and why a pane fired.
type Firing = (Pane, u32, EventTime, EventTime);

/// The columns of the last value, as they are written.
#[derive(Clone, Debug)]
struct Memo<T> {
    value: Option<T>,
    text: Vec<u8>,
}

/// The number of remembered combinations of measures: a power of two.
const MEASURES: usize = 4096;
/// The window's columns.
const WINDOW_COLUMNS: usize = 2;
/// The columns of a firing.
const FIRING_COLUMNS: usize = 4;

impl NdjsonFormat {
    /// The lines of a flow.
    pub fn new(table: &FlowTable) -> Self {
        let start = format!("{{\"flow\":{}", quoted(&table.flow));
        let before = table.all_columns().into_iter().enumerate().map(|(index, column)| {
            let prefix = if index == 0 { start.as_str() } else { "" };
            format!("{prefix},{}:", quoted(&column.name)).into_bytes().into_boxed_slice()
        });
        let has_sketch = table
            .measures
            .iter()
            .any(|measure| matches!(measure.shows, Shows::Distinct { sketch: true, .. }));
        Self {
            before: before.collect(),
            table: table.clone(),
            window: Memo::EMPTY,
            firing: Memo::EMPTY,
            measures: if has_sketch { Vec::new() } else { vec![Memo::EMPTY; MEASURES] },
        }
    }

    /// Adds one line with its line feed.
    pub fn write(&mut self, row: &Row, out: &mut Vec<u8>) {
        let (by, rest) = self.before.split_at(self.table.columns.len());
        let (window, rest) = rest.split_at(WINDOW_COLUMNS);
        let (measures, firing) = rest.split_at(rest.len() - FIRING_COLUMNS);
        let mut names = by.iter();
        row.key_cells(&mut |cell| column(&mut names, cell, out));
        self.window.copy(&row.window, window, out, |visit| row.window_cells(visit));
        if self.measures.is_empty() {
            let mut names = measures.iter();
            row.measure_cells(&self.table, &mut |cell| column(&mut names, cell, out));
        } else {
            let known = &mut self.measures[place(&row.values)];
            known.copy(&row.values, measures, out, |visit| row.measure_cells(&self.table, visit));
        }
        let fired = (row.pane, row.pane_index, row.watermark, row.emitted_at);
        self.firing.copy(&fired, firing, out, |visit| row.firing_cells(visit));
        out.extend_from_slice(b"}\n");
    }
}

impl<T: Clone + PartialEq> Memo<T> {
    const EMPTY: Self = Self { value: None, text: Vec::new() };

    /// Adds the columns of a value, which are written only where it is not the last one.
    fn copy<'a>(
        &mut self,
        value: &T,
        names: &[Box<[u8]>],
        out: &mut Vec<u8>,
        visit: impl FnOnce(&mut dyn FnMut(Cell<'a>)),
    ) {
        if self.value.as_ref() != Some(value) {
            self.value = Some(value.clone());
            self.text.clear();
            let mut names = names.iter();
            visit(&mut |cell| column(&mut names, cell, &mut self.text));
        }
        out.extend_from_slice(&self.text);
    }
}

/// Neighbours get different places, and so do views and clicks.
fn place(values: &[Value]) -> usize {
    let mix = |place: u64, value: &Value| {
        let value = match value {
            Value::Null => u64::MAX,
            Value::Count(number) => *number,
            Value::Number(total) => {
                let mut hasher = FxHasher::default();
                total.hash(&mut hasher);
                hasher.finish()
            }
            Value::Distinct(estimate) => estimate.number,
        };
        place.wrapping_mul(67).wrapping_add(value)
    };
    values.iter().fold(0, mix) as usize % MEASURES
}

fn column<'n>(names: &mut impl Iterator<Item = &'n Box<[u8]>>, cell: Cell<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(names.next().expect("a row has a value for each column of its table"));
    value(cell, out);
}

/// Adds one value as JSON.
pub(crate) fn value(cell: Cell<'_>, out: &mut Vec<u8>) {
    let written = match cell {
        Cell::Null => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        Cell::Time(time) => {
            out.push(b'"');
            stamp::write(time, out);
            out.push(b'"');
            Ok(())
        }
        Cell::Text(text) => serde_json::to_writer(out, text),
        Cell::Integer(number) => serde_json::to_writer(out, &number),
        Cell::Decimal(total) => write!(out, "{total}").map_err(serde_json::Error::io),
        // The shortest digits that read back as the same double.
        Cell::Real(number) => serde_json::to_writer(out, &number),
        Cell::Bytes(bytes) => serde_json::to_writer(out, &STANDARD.encode(bytes)),
    };
    written.expect("writing to memory does not fail");
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn line(table: &FlowTable, row: &Row) -> String {
        let mut out = Vec::new();
        let mut format = NdjsonFormat::new(table);
        format.write(row, &mut out);
        let once = out.clone();
        format.write(row, &mut out);
        assert_eq!(out.split_off(once.len()), once, "a remembered value is written as the first time");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    fn counted<const N: usize>(counts: [u64; N]) -> String {
        let key = [Some("/a \"b\"\n\u{e9}".into()), None].into();
        line(&fixtures::ctr(N == 3), &Row { key, values: fixtures::counts(counts), ..fixtures::row() })
    }

    #[test]
    fn columns_are_in_order() {
        assert_eq!(
            counted([4, 1, 2]),
            "{\"flow\":\"box_ctr\",\"page\":\"/a \\\"b\\\"\\n\u{e9}\",\"box\":null,\
             \"window_start\":\"2026-09-27T10:00:00.000Z\",\"window_end\":\"2026-09-27T10:10:00.000Z\",\
             \"views\":4,\"clicks\":1,\"ctr\":0.25,\"ctr_low\":0.04558726080970055,\
             \"ctr_high\":0.6993581574175981,\"attributed_clicks\":2,\"ctr_attributed\":0.5,\
             \"pane\":\"ON_TIME\",\"pane_index\":1,\"watermark\":\"9999-12-31T23:59:59.999Z\",\
             \"emitted_at\":\"2026-09-27T10:10:00.250Z\"}\n"
        );
    }

    #[test]
    fn an_unknown_rate_is_null() {
        let none = counted([0, 3]);
        assert!(
            none.contains(
                "\"views\":0,\"clicks\":3,\"ctr\":null,\"ctr_low\":null,\"ctr_high\":null,\"pane\""
            ),
            "{none}"
        );
        let above = counted([2, 3]);
        assert!(above.contains("\"ctr\":1.5,\"ctr_low\":null,\"ctr_high\":null,"), "{above}");
    }

    #[test]
    fn every_kind_of_measure_is_json() {
        let text =
            line(&fixtures::measures(), &fixtures::measured("-12345678901234567890.000000001", Some(3)));
        assert!(
            text.contains(
                "\"views\":4,\"revenue\":-12345678901234567890.000000001,\
                 \"lowest\":-12345678901234567890.000000001,\"users\":3,\"users_sketch\":\"A/8A\",\"readers\":3,\
                 \"share\":1.0,\"share_low\":0.5101091635454027,\"share_high\":1.0,\"rpm\":-3.086419725308642e+21,\"pane\""
            ),
            "{text}"
        );
        let none = line(&fixtures::measures(), &fixtures::measured("0", None));
        assert!(
            none.contains(
                "\"views\":null,\"revenue\":null,\"lowest\":null,\"users\":null,\"users_sketch\":null,\"readers\":null,\
                 \"share\":null,\"share_low\":null,\"share_high\":null,\"rpm\":null,\"pane\""
            ),
            "{none}"
        );
    }

    #[test]
    fn measures_do_not_mix() {
        let table = fixtures::ctr(true);
        let mut format = NdjsonFormat::new(&table);
        for views in 0..5_000 {
            for values in [[views, 1, 0], [1, views, 0], [1, 0, views]] {
                let row = Row { values: fixtures::counts(values), ..fixtures::row() };
                let mut out = Vec::new();
                format.write(&row, &mut out);
                let counted: serde_json::Value = serde_json::from_slice(&out).expect("a line is JSON");
                let found = ["views", "clicks", "attributed_clicks"].map(|name| counted[name].as_u64());
                assert_eq!(found, values.map(Some));
            }
        }
    }
}
