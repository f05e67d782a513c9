//! Rows as lines of JSON: `flow`, then the columns of the flow's table in their order, NULL as `null`.
//!
//! Not here: the file that they go to.

use event::{CtrRow, row::FlowTable};

use crate::{cells, cells::Cell, schema, stamp};

/// How the rows of one flow are written; made once a flow.
#[derive(Clone, Debug)]
pub struct NdjsonFormat {
    /// What stands before each value: `{"flow":"box_ctr","page":`, then `,"box":` and so on.
    before: Vec<Box<[u8]>>,
    join: bool,
}

impl NdjsonFormat {
    /// The lines of a flow.
    pub fn new(table: &FlowTable) -> Self {
        let start = format!("{{\"flow\":{}", quoted(&table.flow));
        let columns = schema::pane_columns(table);
        let before = columns.iter().enumerate().map(|(index, column)| {
            let prefix = if index == 0 { start.as_str() } else { "" };
            format!("{prefix},{}:", quoted(&column.name)).into_bytes().into_boxed_slice()
        });
        Self { before: before.collect(), join: table.join }
    }

    /// Adds one line with its line feed.
    pub fn write(&self, row: &CtrRow, out: &mut Vec<u8>) {
        let mut before = self.before.iter();
        cells::pane(row, self.join, &mut |cell| {
            out.extend_from_slice(before.next().expect("a row has a value for each column of its table"));
            value(cell, out);
        });
        out.extend_from_slice(b"}\n");
    }
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
        NdjsonFormat::new(&table(join)).write(&row, &mut out);
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
