//! Change data capture: rows that insert, replace or delete the row with the same primary key.
//!
//! From <https://docs.cloud.google.com/bigquery/docs/change-data-capture>:
//!
//! - Changes go through a table's default stream, and the table has a primary key.
//! - `_CHANGE_TYPE` is `UPSERT` or `DELETE`; other rows on the same connection are refused.
//! - `_CHANGE_SEQUENCE_NUMBER` has up to four sections of up to 16 hexadecimal digits, which are compared as numbers, section
//!   by section. The highest counts, and of equal ones the one that was ingested last.
//! - A query applies all changes before it reads the table.
//! - A deletion is remembered, so that it also counts if it is ingested before the row. The service remembers it for two days.
//!
//! From <https://docs.cloud.google.com/bigquery/docs/write-api>: a default stream stores rows at least once. Changes are
//! therefore applied in a random order, some twice, and some again that were applied long ago.
//!
//! The page does not say what the service does with NULL in a column of the key; a primary key is never NULL
//! (<https://docs.cloud.google.com/bigquery/docs/primary-foreign-keys>). Here the row is refused, so that a test notices. It does
//! not say either how a missing sequence number is ordered among others; here the request is refused.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
};

use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use rusqlite::{Connection, params_from_iter, types::Value};
use tonic::Status;

use super::batch::{Batch, Column};

const CHANGE_TYPE: &str = "_CHANGE_TYPE";
const SEQUENCE: &str = "_CHANGE_SEQUENCE_NUMBER";
/// Changes that may be stored once more.
const REPEATED: usize = 10_000;

/// The columns that rows may have and tables do not.
pub(super) fn pseudocolumns() -> [Column; 2] {
    [CHANGE_TYPE, SEQUENCE].map(|name| Column { name: name.to_owned(), kind: "STRING".to_owned() })
}

/// Whether rows change others. Otherwise they are added.
pub(super) fn are_changes(batch: &Batch) -> bool {
    batch.columns.iter().any(|column| column.eq_ignore_ascii_case(CHANGE_TYPE))
}

/// The rows of one request.
#[derive(Debug)]
pub(super) struct Changes {
    list: Vec<Change>,
    /// Rows with NULL in a column of the primary key.
    without_key: Vec<i64>,
}

#[derive(Clone, Debug)]
struct Change {
    /// The values of the primary key.
    key: String,
    sequence: [u64; 4],
    /// The columns and values of an upsert; `None` for a deletion.
    row: Option<(Vec<String>, Vec<Value>)>,
}

/// A table with changes.
#[derive(Debug)]
pub(super) struct Changed {
    waiting: Vec<Change>,
    applied: VecDeque<Change>,
    /// The newest change of each key, and the ID of its row; `None` for a deletion.
    newest: BTreeMap<String, ([u64; 4], Option<i64>)>,
    random: ChaCha8Rng,
}

impl Changes {
    /// Reads rows as changes of a table with this primary key.
    pub(super) fn read(batch: &Batch, key: &[&str]) -> Result<Self, Status> {
        let place = |name: &str| batch.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        let Some(kind) = place(CHANGE_TYPE) else {
            return Err(Status::unimplemented("rows in a default stream that are not changes"));
        };
        if key.is_empty() {
            return Err(Status::invalid_argument("the table has no primary key"));
        }
        let key = key.iter().map(|name| place(name)).collect::<Option<Vec<usize>>>();
        let key = key.ok_or_else(|| Status::invalid_argument("a column of the primary key is missing"))?;
        let sequence =
            place(SEQUENCE).ok_or_else(|| Status::invalid_argument("no _CHANGE_SEQUENCE_NUMBER"))?;
        let mut changes = Self { list: Vec::with_capacity(batch.rows.len()), without_key: Vec::new() };
        for (index, row) in (0..).zip(&batch.rows) {
            if key.iter().any(|place| row[*place] == Value::Null) {
                changes.without_key.push(index);
            }
            let is_upsert = match &row[kind] {
                Value::Text(kind) if kind == "UPSERT" => true,
                Value::Text(kind) if kind == "DELETE" => false,
                _ => return Err(Status::invalid_argument("The given value is not a valid CHANGE_TYPE")),
            };
            let number = match &row[sequence] {
                Value::Text(text) => sections(text),
                _ => None,
            };
            let number = number.ok_or_else(|| Status::invalid_argument("invalid _CHANGE_SEQUENCE_NUMBER"))?;
            let values = || {
                let kept = (0..row.len()).filter(|place| *place != kind && *place != sequence);
                kept.map(|place| (batch.columns[place].clone(), row[place].clone())).unzip()
            };
            let mut text = String::new();
            for place in &key {
                write!(text, "{:?},", row[*place]).expect("text grows without fail");
            }
            changes.list.push(Change { key: text, sequence: number, row: is_upsert.then(values) });
        }
        Ok(changes)
    }

    /// The rows that cannot be taken.
    pub(super) fn without_key(&self) -> impl Iterator<Item = i64> {
        self.without_key.iter().copied()
    }
}

/// The sections of a sequence number; missing ones are 0.
fn sections(text: &str) -> Option<[u64; 4]> {
    let mut sections = [0; 4];
    for (place, section) in text.split('/').enumerate() {
        let is_hexadecimal = section.len() <= 16 && section.bytes().all(|b| b.is_ascii_hexdigit());
        *sections.get_mut(place)? = u64::from_str_radix(section, 16).ok().filter(|_| is_hexadecimal)?;
    }
    Some(sections)
}

impl Changed {
    /// Keeps changes until they are applied.
    pub(super) fn take(&mut self, changes: Changes) {
        self.waiting.extend(changes.list);
    }

    /// Applies what was taken since the last call to a table of this name.
    pub(super) fn apply(&mut self, rows: &Connection, name: &str) -> rusqlite::Result<()> {
        let mut changes = std::mem::take(&mut self.waiting);
        if changes.is_empty() {
            return Ok(());
        }
        let new = changes.len();
        for _ in 0..=new / 3 {
            changes.push(changes[self.random.random_range(0..new)].clone());
            if !self.applied.is_empty() {
                changes.push(self.applied[self.random.random_range(0..self.applied.len())].clone());
            }
        }
        changes.shuffle(&mut self.random);
        for change in changes {
            let before = self.newest.get(&change.key);
            if before.is_some_and(|(sequence, _)| *sequence > change.sequence) {
                continue;
            }
            if let Some((_, Some(id))) = before {
                rows.prepare_cached(&format!("DELETE FROM `{name}` WHERE rowid = ?"))?.execute([id])?;
            }
            let id = match &change.row {
                None => None,
                Some((columns, values)) => {
                    let columns: Vec<_> = columns.iter().map(|column| format!("`{column}`")).collect();
                    let places = vec!["?"; columns.len()].join(", ");
                    let sql = format!("INSERT INTO `{name}` ({}) VALUES ({places})", columns.join(", "));
                    Some(rows.prepare_cached(&sql)?.insert(params_from_iter(values))?)
                }
            };
            self.newest.insert(change.key.clone(), (change.sequence, id));
            self.applied.push_back(change);
            if self.applied.len() > REPEATED {
                self.applied.pop_front();
            }
        }
        Ok(())
    }
}

impl Default for Changed {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            applied: VecDeque::new(),
            newest: BTreeMap::new(),
            random: ChaCha8Rng::seed_from_u64(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(rows: &[(Option<&str>, i64, &str, &str)]) -> Result<Changes, Status> {
        let columns = ["page", "views", CHANGE_TYPE, SEQUENCE].map(str::to_owned).into();
        let row = |(page, views, kind, sequence): &(Option<&str>, i64, &str, &str)| {
            let page = page.map_or(Value::Null, |page| Value::Text(page.to_owned()));
            let [kind, sequence] = [kind, sequence].map(|text| Value::Text((*text).to_owned()));
            vec![page, Value::Integer(*views), kind, sequence]
        };
        let batch = Batch { columns, rows: rows.iter().map(row).collect(), bad_rows: Vec::new() };
        Changes::read(&batch, &["page"])
    }

    fn table() -> Connection {
        let rows = Connection::open_in_memory().expect("a database");
        rows.execute_batch("CREATE TABLE t (page TEXT, views INTEGER)").expect("a table");
        rows
    }

    fn contents(rows: &Connection) -> Vec<(String, i64)> {
        let mut select = rows.prepare("SELECT page, views FROM t ORDER BY page").expect("a query");
        let found = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("a query");
        found.collect::<Result<_, _>>().expect("rows")
    }

    #[test]
    fn the_highest_number_counts_in_any_order() {
        let (mut changed, rows) = (Changed::default(), table());
        // Equal numbers have equal contents, as after a repetition.
        let all = [
            (Some("a"), 1, "UPSERT", "0"),
            (Some("a"), 9, "UPSERT", "9"),
            (Some("a"), 16, "UPSERT", "10"),
            (Some("b"), 3, "UPSERT", "2"),
            (Some("b"), 0, "DELETE", "2/1"),
            (Some("c"), 5, "UPSERT", "FFFFFFFFFFFFFFFF"),
        ];
        for part in all.chunks(2).rev().chain(all.chunks(1)) {
            changed.take(changes(part).expect("changes"));
            changed.apply(&rows, "t").expect("rows");
        }
        assert_eq!(contents(&rows), [("a".to_owned(), 16), ("c".to_owned(), 5)]);
    }

    #[test]
    fn rows_with_equal_numbers_are_in_no_order() {
        let outcomes: std::collections::BTreeSet<_> = (0..20)
            .map(|seed| {
                let rows = table();
                let random = ChaCha8Rng::seed_from_u64(seed);
                let mut changed = Changed { random, ..Changed::default() };
                let list = [(Some("a"), 1, "UPSERT", "1"), (Some("a"), 2, "UPSERT", "1")];
                changed.take(changes(&list).expect("changes"));
                changed.apply(&rows, "t").expect("rows");
                contents(&rows)[0].1
            })
            .collect();
        assert_eq!(outcomes.len(), 2);
    }

    #[test]
    fn wrong_changes_are_refused() {
        for (kind, sequence) in [
            ("INSERT", "0"),
            ("upsert", "0"),
            ("UPSERT", ""),
            ("UPSERT", "G"),
            ("UPSERT", "1/2/3/4/5"),
            ("UPSERT", "10000000000000000"),
            ("UPSERT", "-1"),
        ] {
            assert!(changes(&[(Some("a"), 1, kind, sequence)]).is_err(), "{kind} {sequence}");
        }
        let list = changes(&[(Some("a"), 1, "UPSERT", "0"), (None, 1, "UPSERT", "0")]).expect("changes");
        assert_eq!(list.without_key().collect::<Vec<_>>(), [1]);
    }
}
