//! Rows as the bytes of an append, and these bytes as messages. Pure.
//!
//! A body is a byte of version, then postcard: for each row the ordering key, the pane, and its JSON, which is the line that
//! [`NdjsonFormat`](crate::NdjsonFormat) writes. Checkpoints contain these bytes, so a later version must read them. Stream
//! and offset are not in the body, because an append may move to another stream: a message gets them when it is sent.

use std::collections::HashMap;

use flow::{
    append::{Append, Body, Rows, Table},
    row::{Cell, FlowTable, Pane, Row, Value},
};
use pubsub::{Attributes, Encoder, OutMessage, limits};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    WriterError, ndjson, requests,
    schema::{Tables, Target},
};

const VERSION: u8 = 1;
/// Rows of one append. The next append waits until all of them are published, and a repetition sends all of them again.
const MAX_ROWS: usize = 1_000;
/// Bytes of a message beside the JSON of its row: attributes and ordering key.
const AROUND: usize = 4_096;
/// The longest number or time in a row, with its comma.
const LONGEST_VALUE: usize = 72;

/// One row, as it is saved.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Saved<'a> {
    /// Empty for none.
    ordering_key: &'a str,
    /// `None` if the row is not a flow's.
    pane: Option<Pane>,
    json: &'a str,
}

/// The requests of one ordering key, to be published one after the other.
pub(super) type Lane = Vec<Vec<OutMessage>>;

pub(super) fn encode(target: &Target<'_>, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
    target.expect(rows)?;
    let names: Vec<String> = target.columns.iter().map(|column| ndjson::quoted(&column.name)).collect();
    let flow = flow_of(target.table);
    let (mut bodies, mut open) = (Vec::new(), Body { rows: 0, bytes: vec![VERSION] });
    for index in 0..length(rows) {
        let json = line(flow, &names, |visit| target.cells(rows, index, visit));
        let (key, pane) = match rows {
            Rows::Panes(rows) => (row_key(&target.name(), &rows[index]), Some(rows[index].pane)),
            Rows::Progress(_) => (text_of(&[Some(&target.name())]), None),
            Rows::DeadLetters(_) => (String::new(), None),
        };
        let saved = Saved { ordering_key: &key, pane, json: &json };
        let bytes = postcard::to_allocvec(&saved)
            .map_err(|error| WriterError::Encode { table: target.name(), source: error.into() })?;
        let is_full = open.bytes.len() + bytes.len() > requests::BODY_BYTES || open.rows as usize == MAX_ROWS;
        if open.rows > 0 && is_full {
            bodies.push(std::mem::replace(&mut open, Body { rows: 0, bytes: vec![VERSION] }));
        }
        open.bytes.extend_from_slice(&bytes);
        open.rows += 1;
    }
    bodies.extend((open.rows > 0).then_some(open));
    Ok(bodies)
}

/// The append without these rows.
pub(super) fn without(append: &Append, refused: &[u32]) -> Result<Body, WriterError> {
    let mut kept = Body { rows: 0, bytes: vec![VERSION] };
    for (index, row) in (0..).zip(read(append)?) {
        if !refused.contains(&index) {
            let bytes = postcard::to_allocvec(&row)
                .map_err(|error| WriterError::Encode { table: append.table.name(), source: error.into() })?;
            kept.bytes.extend_from_slice(&bytes);
            kept.rows += 1;
        }
    }
    Ok(kept)
}

/// The messages of an append, by ordering key. The same append gives the same messages.
pub(super) fn lanes(append: &Append) -> Result<Vec<Lane>, WriterError> {
    let beyond = |_| wrong(append, "a row exceeds the limits of a message");
    let flow = flow_of(&append.table);
    let shared = [("kind", kind(&append.table)), ("stream", append.stream.as_str())].into_iter();
    let shared = Attributes::new(shared.chain(flow.map(|flow| ("flow", flow)))).map_err(beyond)?;
    let mut encoder = Encoder::default();
    let (mut places, mut lanes) = (HashMap::new(), Vec::<Lane>::new());
    for (offset, row) in (append.offset..).zip(read(append)?) {
        let offset = offset.to_string();
        let mut message = encoder.begin(row.json.as_bytes(), &shared);
        message.attribute("offset", &[&offset]);
        if let Some(pane) = row.pane {
            message.attribute("pane", &[pane.as_str()]);
        }
        let place = *places.entry(row.ordering_key).or_insert(lanes.len());
        if place == lanes.len() {
            lanes.push(Vec::new());
        }
        add(&mut lanes[place], message.finish(row.ordering_key).map_err(beyond)?);
    }
    Ok(lanes)
}

/// Adds a message to the last request of a lane, or to a new one if it is full.
fn add(lane: &mut Lane, message: OutMessage) {
    let fits = |request: &&mut Vec<OutMessage>| {
        let bytes = request.iter().map(OutMessage::wire_len).sum();
        limits::fits(request.len(), bytes, message.wire_len())
    };
    match lane.last_mut().filter(fits) {
        Some(request) => request.push(message),
        None => lane.push(vec![message]),
    }
}

/// The rows (indexes) whose message could exceed Pub/Sub's limit. The size is an upper bound that does not depend on the
/// flow, whose table is not known here.
pub(super) fn too_large(tables: &Tables, rows: Rows<'_>) -> Vec<usize> {
    let Rows::Panes(rows) = rows else { return Vec::new() };
    let columns = tables.flows().iter().map(columns_bytes).max().unwrap_or_default();
    let room = limits::MAX_BYTES.saturating_sub(AROUND + columns);
    (0..rows.len()).filter(|&index| variable_bytes(&rows[index]) > room).collect()
}

/// The bytes of a row's JSON apart from texts and sketches, at most.
fn columns_bytes(table: &FlowTable) -> usize {
    let names = table.all_columns().into_iter().map(|column| ndjson::quoted(&column.name).len());
    names.map(|name| name + LONGEST_VALUE).sum()
}

/// The bytes of the texts and sketches of a row in JSON.
fn variable_bytes(row: &Row) -> usize {
    let key: usize = row.key.iter().flatten().map(escaped).sum();
    let sketch = |value: &Value| match value {
        Value::Distinct(estimate) => {
            estimate.sketch.as_ref().map_or(0, |sketch| sketch.len().div_ceil(3) * 4)
        }
        Value::Null | Value::Count(_) | Value::Number(_) => 0,
    };
    key + row.values.iter().map(sketch).sum::<usize>()
}

/// The bytes of a text in JSON, without its quotes.
fn escaped(text: &str) -> usize {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    bytes.sum()
}

/// The ordering key of a row: flow and `by` values as a JSON array, so that equal keys are equal texts. A key that is too
/// long is replaced by its hash.
fn row_key(table: &str, row: &Row) -> String {
    let values: Vec<Option<&str>> = [Some(table)].into_iter().chain(row.key.iter()).collect();
    let text = text_of(&values);
    if text.len() <= limits::MAX_KEY_BYTES {
        return text;
    }
    let hash: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    text_of(&[Some(table), Some(&format!("sha256:{hash}"))])
}

fn text_of(values: &[Option<&str>]) -> String {
    serde_json::to_string(values).expect("text is always JSON")
}

/// One row as a JSON object, without a line feed.
fn line<'a>(flow: Option<&str>, names: &[String], cells: impl FnOnce(&mut dyn FnMut(Cell<'a>))) -> String {
    let mut out = b"{".to_vec();
    if let Some(flow) = flow {
        out.extend_from_slice(b"\"flow\":");
        out.extend_from_slice(ndjson::quoted(flow).as_bytes());
    }
    let mut names = names.iter();
    cells(&mut |cell| {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(names.next().expect("a row has a value for each column").as_bytes());
        out.push(b':');
        ndjson::value(cell, &mut out);
    });
    out.push(b'}');
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn read(append: &Append) -> Result<Vec<Saved<'_>>, WriterError> {
    let Some((&VERSION, mut rest)) = append.body.split_first() else {
        return Err(wrong(append, "the rows have an unknown encoding"));
    };
    let mut rows = Vec::with_capacity(append.rows as usize);
    while !rest.is_empty() {
        let read: Result<(Saved<'_>, _), _> = postcard::take_from_bytes(rest);
        let (row, after) = read.map_err(|_| wrong(append, "cannot decode the rows"))?;
        rows.push(row);
        rest = after;
    }
    if rows.len() != append.rows as usize {
        return Err(wrong(append, "the number of rows does not match"));
    }
    Ok(rows)
}

fn wrong(append: &Append, problem: &'static str) -> WriterError {
    WriterError::Append { table: append.table.name(), offset: append.offset, problem }
}

fn length(rows: Rows<'_>) -> usize {
    match rows {
        Rows::Panes(rows) => rows.len(),
        Rows::Progress(rows) => rows.len(),
        Rows::DeadLetters(rows) => rows.len(),
    }
}

/// The flow of a message; `None` for dead letters, which belong to all flows.
fn flow_of(table: &Table) -> Option<&str> {
    match table {
        Table::Flow(flow) | Table::Progress(flow) => Some(flow),
        Table::DeadLetters => None,
    }
}

/// The attribute by which a subscription selects rows.
fn kind(table: &Table) -> &'static str {
    match table {
        Table::Flow(_) => "row",
        Table::Progress(_) => "progress",
        Table::DeadLetters => "dead_letter",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use event::{EventTime, Key, Ledger};
    use flow::row::{DeadLetterRow, ProgressRow};
    use prost::Message as _;

    use super::*;
    use crate::{NdjsonFormat, fixtures};

    /// `PubsubMessage`, as a protobuf library decodes it.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Read {
        #[prost(string, tag = "1")]
        data: String,
        #[prost(map = "string, string", tag = "2")]
        attributes: HashMap<String, String>,
        #[prost(string, tag = "5")]
        ordering_key: String,
    }

    fn tables() -> Tables {
        Tables::try_new(&[fixtures::ctr(true), fixtures::measures()]).expect("names")
    }

    fn bodies(table: &Table, rows: Rows<'_>) -> Vec<Body> {
        encode(&tables().target(table).expect("a table"), rows).expect("rows of the table")
    }

    fn append(table: &Table, body: Body, offset: u64) -> Append {
        let (rows, body) = (body.rows, body.bytes.into());
        Append { table: table.clone(), stream: "p/t/s".to_owned(), offset, rows, body }
    }

    /// The messages of an append, by ordering key and request.
    fn sent(append: &Append) -> Vec<Vec<Vec<Read>>> {
        let message = |message: &OutMessage| Read::decode(message.encoded().clone()).expect("protobuf");
        let request = |request: &Vec<OutMessage>| request.iter().map(message).collect();
        let lanes = lanes(append).expect("messages");
        lanes.iter().map(|lane| lane.iter().map(request).collect()).collect()
    }

    fn row(page: &str, index: u32) -> Row {
        let key: Key = [Some(page.into()), None].into();
        Row { key, pane_index: index, ..fixtures::row() }
    }

    fn ctr() -> Table {
        Table::Flow("box_ctr".into())
    }

    #[test]
    fn a_message_is_the_line_of_its_row() {
        let sales = Table::Flow("sales".into());
        let large = fixtures::measured("-12345678901234567890.000000001", Some(3));
        for (table, format, row) in
            [(ctr(), fixtures::ctr(true), row("/\u{e9}\n", 1)), (sales, fixtures::measures(), large)]
        {
            let rows = [row];
            let body = bodies(&table, Rows::Panes(&rows)).remove(0);
            let message = sent(&append(&table, body, 7)).remove(0).remove(0).remove(0);
            let mut line = Vec::new();
            NdjsonFormat::new(&format).write(&rows[0], &mut line);
            assert_eq!(format!("{}\n", message.data).as_bytes(), line);
        }
    }

    #[test]
    fn attributes_give_the_place_of_a_row() {
        let rows = [row("/a", 0), row("/b", 0), row("/a", 1)];
        let body = bodies(&ctr(), Rows::Panes(&rows)).remove(0);
        let lanes = sent(&append(&ctr(), body, 10));
        let seen: Vec<Vec<(&str, &str)>> = lanes
            .iter()
            .map(|lane| {
                let messages = lane.iter().flatten();
                messages.map(|m| (m.ordering_key.as_str(), m.attributes["offset"].as_str())).collect()
            })
            .collect();
        let key = |page: &str| format!("[\"box_ctr\",\"{page}\",null]");
        let (a, b) = (key("/a"), key("/b"));
        assert_eq!(seen, [vec![(&*a, "10"), (&*a, "12")], vec![(&*b, "11")]]);
        let attributes = &lanes[0][0][0].attributes;
        for (name, value) in [("kind", "row"), ("flow", "box_ctr"), ("pane", "ON_TIME"), ("stream", "p/t/s")]
        {
            assert_eq!(attributes[name], value);
        }
        assert_eq!(attributes.len(), 5);
    }

    #[test]
    fn progress_and_dead_letters_are_messages() {
        let progress = Table::Progress("box_ctr".into());
        let time = EventTime(0);
        let line = ProgressRow { at: time, watermark: EventTime::MAX, ledger: Ledger::default() };
        let body = bodies(&progress, Rows::Progress(&[line])).remove(0);
        let message = sent(&append(&progress, body, 0)).remove(0).remove(0).remove(0);
        assert_eq!((&*message.attributes["kind"], &*message.attributes["flow"]), ("progress", "box_ctr"));
        assert_eq!(message.ordering_key, "[\"box_ctr_progress\"]");
        let start = "{\"flow\":\"box_ctr\",\"at\":\"1970-01-01T00:00:00.000Z\",\"watermark\":\"9999-12-31T23:59:59.999Z\",\"counted\":0,";
        assert!(message.data.starts_with(start), "{}", message.data);

        let letter = DeadLetterRow {
            topic: "events".into(),
            partition: 3,
            offset: 9,
            stage: Arc::from("connector"),
            reason: "not-json".to_owned(),
            pointer: None,
            seen_at: time,
        };
        let body = bodies(&Table::DeadLetters, Rows::DeadLetters(&[letter.clone(), letter])).remove(0);
        let lanes = sent(&append(&Table::DeadLetters, body, 5));
        assert_eq!((lanes.len(), lanes[0].len(), lanes[0][0].len()), (1, 1, 2), "one request");
        let message = &lanes[0][0][1];
        assert_eq!((&*message.attributes["kind"], &*message.attributes["offset"]), ("dead_letter", "6"));
        assert_eq!(message.attributes.len(), 3);
        assert_eq!(message.ordering_key, "");
        assert_eq!(
            message.data,
            "{\"topic\":\"events\",\"partition\":3,\"offset\":9,\"stage\":\"connector\",\"reason\":\"not-json\",\
             \"pointer\":null,\"seen_at\":\"1970-01-01T00:00:00.000Z\"}"
        );
    }

    #[test]
    fn a_long_key_is_hashed() {
        let long = "\u{e9}".repeat(600);
        let keys = ["/a".to_owned(), format!("{long}1"), format!("{long}2")]
            .map(|page| row_key("box_ctr", &row(&page, 0)));
        assert!(keys.iter().all(|key| key.len() <= limits::MAX_KEY_BYTES), "{keys:?}");
        assert!(
            keys[1].contains("sha256:")
                && keys[1] != keys[2]
                && keys[1] == row_key("box_ctr", &row(&format!("{long}1"), 5))
        );
        let null = Row { key: [Some("null".into()), None].into(), ..fixtures::row() };
        let text = Row { key: [None, Some("null".into())].into(), ..fixtures::row() };
        assert_ne!(row_key("box_ctr", &null), row_key("box_ctr", &text));
    }

    #[test]
    fn a_request_has_one_key_and_is_within_limits() {
        let rows: Vec<Row> = (0..30).map(|n| row(&"x".repeat(600_000), n)).collect();
        let all = bodies(&ctr(), Rows::Panes(&rows));
        assert!(all.len() > 1);
        let mut offsets = Vec::new();
        for body in all {
            assert!(body.bytes.len() <= requests::BODY_BYTES);
            let lanes = lanes(&append(&ctr(), body, 0)).expect("messages");
            assert_eq!(lanes.len(), 1);
            for request in &lanes[0] {
                let bytes: usize = request.iter().map(OutMessage::wire_len).sum();
                assert!(bytes <= limits::MAX_BYTES);
                offsets.push(request.len());
            }
        }
        assert_eq!(offsets.iter().sum::<usize>(), rows.len());
        let many: Vec<Row> = (0..2_500).map(|n| row("/a", n)).collect();
        let rows: Vec<u32> = bodies(&ctr(), Rows::Panes(&many)).iter().map(|body| body.rows).collect();
        assert_eq!(rows, [1_000, 1_000, 500]);
        let mut lane = Lane::new();
        let message = Encoder::default().encode(
            &vec![0; limits::MAX_BYTES / 3],
            &Attributes::default(),
            std::iter::empty(),
        );
        let message = message.expect("within the limits");
        (0..5).for_each(|_| add(&mut lane, message.clone()));
        assert_eq!(lane.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    }

    /// Every row that is not too large has a message, whatever its characters need in JSON.
    #[test]
    fn a_row_beyond_the_limit_of_a_message_is_too_large() {
        for (text, bytes) in [("x", 1), ("\u{1}", 6), ("\"", 2), ("\u{e9}", 2)] {
            let most = limits::MAX_BYTES / bytes;
            let rows = [row(&text.repeat(most - 20_000), 0), row("/a", 0), row(&text.repeat(most), 0)];
            assert_eq!(too_large(&tables(), Rows::Panes(&rows)), [2], "{text:?}");
            let body = bodies(&ctr(), Rows::Panes(&rows[..1])).remove(0);
            assert_eq!(sent(&append(&ctr(), body, 0)).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_damaged_body_is_an_error() {
        let rows = [row("/a", 0), row("/b", 0), row("/c", 0)];
        let whole = append(&ctr(), bodies(&ctr(), Rows::Panes(&rows)).remove(0), 0);
        let kept = append(&ctr(), without(&whole, &[1]).expect("a body"), 0);
        let keys: Vec<_> = sent(&kept).iter().map(|lane| lane[0][0].ordering_key.clone()).collect();
        assert_eq!(keys, ["[\"box_ctr\",\"/a\",null]", "[\"box_ctr\",\"/c\",null]"]);
        for damaged in [&b""[..], &[9], &whole.body[..whole.body.len() - 1], &kept.body] {
            let damaged = Append { body: damaged.into(), ..whole.clone() };
            assert!(matches!(lanes(&damaged), Err(WriterError::Append { .. })));
        }
    }
}
