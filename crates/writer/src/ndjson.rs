//! Rows as lines of JSON: `flow`, then the columns of the flow's table in their order, NULL as `null`.
//!
//! Rows that stand together share their window and their firing, and small counts come again and again: each of the three
//! is written once and then copied. Not here: the file that they go to.

use event::{Ctr, CtrRow, EventTime, Pane, Window, row::FlowTable};

use crate::{cells, cells::Cell, schema, stamp};

/// How the rows of one flow are written; made once a flow.
#[derive(Clone, Debug)]
pub struct NdjsonFormat {
    /// What stands before each value: `{"flow":"box_ctr","page":`, then `,"box":` and so on.
    before: Vec<Box<[u8]>>,
    join: bool,
    window: Memo<Window>,
    firing: Memo<Firing>,
    /// By the lowest bits of a hash.
    counts: Vec<Memo<Ctr>>,
}

/// When and why a pane fired.
type Firing = (Pane, u32, EventTime, EventTime);

/// The columns of the last value, as they are written.
#[derive(Clone, Debug)]
struct Memo<T> {
    value: Option<T>,
    text: Vec<u8>,
}

/// So many counts are remembered: a power of two.
const COUNTS: usize = 4096;
/// The window's columns.
const WINDOW_COLUMNS: usize = 2;
/// The columns of a firing.
const FIRING_COLUMNS: usize = 4;

impl NdjsonFormat {
    /// The lines of a flow.
    pub fn new(table: &FlowTable) -> Self {
        let start = format!("{{\"flow\":{}", quoted(&table.flow));
        let columns = schema::pane_columns(table);
        let before = columns.iter().enumerate().map(|(index, column)| {
            let prefix = if index == 0 { start.as_str() } else { "" };
            format!("{prefix},{}:", quoted(&column.name)).into_bytes().into_boxed_slice()
        });
        Self {
            before: before.collect(),
            join: table.join,
            window: Memo::EMPTY,
            firing: Memo::EMPTY,
            counts: vec![Memo::EMPTY; COUNTS],
        }
    }

    /// Adds one line with its line feed.
    pub fn write(&mut self, row: &CtrRow, out: &mut Vec<u8>) {
        let (by, rest) = self.before.split_at(self.before.len() - self.columns_behind_key());
        let (window, rest) = rest.split_at(WINDOW_COLUMNS);
        let (counts, firing) = rest.split_at(rest.len() - FIRING_COLUMNS);
        let mut names = by.iter();
        cells::key(row, &mut |cell| column(&mut names, cell, out));
        let known = &mut self.window;
        known.copy(row.window, window, out, |visit| cells::window(row.window, visit));
        let known = &mut self.counts[place(row.ctr)];
        known.copy(row.ctr, counts, out, |visit| cells::counts(row.ctr, self.join, visit));
        let fired = (row.pane, row.pane_index, row.watermark, row.emitted_at);
        self.firing.copy(fired, firing, out, |visit| cells::firing(row, visit));
        out.extend_from_slice(b"}\n");
    }

    fn columns_behind_key(&self) -> usize {
        WINDOW_COLUMNS + if self.join { 7 } else { 5 } + FIRING_COLUMNS
    }
}

impl<T: PartialEq> Memo<T> {
    const EMPTY: Self = Self { value: None, text: Vec::new() };

    /// Adds the columns of a value, which are written only where it is not the last one.
    fn copy<'a>(
        &mut self,
        value: T,
        names: &[Box<[u8]>],
        out: &mut Vec<u8>,
        visit: impl FnOnce(&mut dyn FnMut(Cell<'a>)),
    ) {
        if self.value.as_ref() != Some(&value) {
            self.value = Some(value);
            self.text.clear();
            let mut names = names.iter();
            visit(&mut |cell| column(&mut names, cell, &mut self.text));
        }
        out.extend_from_slice(&self.text);
    }
}

/// Neighbours get different places, and so do views and clicks.
fn place(ctr: Ctr) -> usize {
    (ctr.views ^ ctr.clicks.rotate_left(6) ^ ctr.attributed.rotate_left(9)) as usize % COUNTS
}

fn column<'n>(names: &mut impl Iterator<Item = &'n Box<[u8]>>, cell: Cell<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(names.next().expect("a row has a value for each column of its table"));
    value(cell, out);
}

fn value(cell: Cell<'_>, out: &mut Vec<u8>) {
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
        // The shortest digits that read back as the same double.
        Cell::Real(number) => serde_json::to_writer(out, &number),
    };
    written.expect("text and numbers are written to memory without fail");
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

#[cfg(test)]
mod tests {
    use event::{Ctr, EventTime, Millis, Pane, Window};

    use super::*;

    fn table(join: bool) -> FlowTable {
        FlowTable {
            flow: "box_ctr".into(),
            columns: vec!["page".to_owned(), "box".to_owned()],
            join,
            allowed_lateness: Millis(3_600_000),
        }
    }

    fn line(join: bool, ctr: Ctr) -> String {
        let row = CtrRow {
            key: [Some("/a \"b\"\n\u{e9}".into()), None].into(),
            window: Window { start: EventTime(0), end: EventTime(600_000) },
            ctr,
            pane: Pane::OnTime,
            pane_index: 1,
            watermark: EventTime::MAX,
            emitted_at: EventTime(1_790_503_200_250),
        };
        let mut out = Vec::new();
        let mut format = NdjsonFormat::new(&table(join));
        format.write(&row, &mut out);
        let once = out.clone();
        format.write(&row, &mut out);
        assert_eq!(out.split_off(once.len()), once, "what is remembered is what was written");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn a_line_holds_the_columns_in_order() {
        assert_eq!(
            line(true, Ctr { views: 4, clicks: 1, attributed: 2 }),
            "{\"flow\":\"box_ctr\",\"page\":\"/a \\\"b\\\"\\n\u{e9}\",\"box\":null,\
             \"window_start\":\"1970-01-01T00:00:00.000Z\",\"window_end\":\"1970-01-01T00:10:00.000Z\",\
             \"views\":4,\"clicks\":1,\"ctr\":0.25,\"ctr_low\":0.04558726080970055,\
             \"ctr_high\":0.6993581574175981,\"attributed_clicks\":2,\"ctr_attributed\":0.5,\
             \"pane\":\"ON_TIME\",\"pane_index\":1,\"watermark\":\"9999-12-31T23:59:59.999Z\",\
             \"emitted_at\":\"2026-09-27T10:00:00.250Z\"}\n"
        );
    }

    #[test]
    fn what_has_no_rate_is_null() {
        let none = line(false, Ctr { views: 0, clicks: 3, attributed: 0 });
        assert!(
            none.contains(
                "\"views\":0,\"clicks\":3,\"ctr\":null,\"ctr_low\":null,\"ctr_high\":null,\"pane\""
            )
        );
        let above = line(false, Ctr { views: 2, clicks: 3, attributed: 0 });
        assert!(above.contains("\"ctr\":1.5,\"ctr_low\":null,\"ctr_high\":null,"), "{above}");
    }
}
