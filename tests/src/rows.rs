//! The rows that the pipeline wrote, and the SQLite file that contains them. See [`crate::bigquery`] for the BigQuery
//! emulator.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use rusqlite::{Connection, OpenFlags};

use crate::{
    recount::{Counts, Key, Recount},
    wait,
};

/// Partition, offset, stage, reason and pointer of a rejected record.
pub type DeadLetter = (i32, u64, String, String, Option<String>);

/// A row of a flow's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The start of its window, page and box.
    pub key: Key,
    /// Views.
    pub views: u64,
    /// Clicks.
    pub clicks: u64,
    /// Clicks per view.
    pub ctr: Option<f64>,
    /// EARLY, ON_TIME or LATE.
    pub pane: String,
    /// The pane index.
    pub index: u64,
}

/// A table that can be read while the pipeline writes to it.
pub trait Rows {
    /// All rows, unordered.
    ///
    /// # Errors
    /// The table cannot be read.
    fn rows(&self) -> Result<Vec<Row>>;
}

/// An SQLite file.
pub struct Database(Connection);

/// The last row of each window and key. Each pane must be in the table once.
///
/// # Errors
/// A pane is duplicated or missing, or a rate is wrong.
pub fn finals(rows: &[Row]) -> Result<Counts> {
    let mut panes: BTreeMap<&Key, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        panes.entry(&row.key).or_default().push(row);
    }
    let mut finals = Counts::new();
    for (key, mut panes) in panes {
        panes.sort_by_key(|row| row.index);
        let indexes: Vec<u64> = panes.iter().map(|row| row.index).collect();
        ensure!(indexes.iter().copied().eq(0..indexes.len() as u64), "{key:?} fired as {indexes:?}");
        let Some(last) = panes.last() else { continue };
        let rate = (last.views > 0).then(|| last.clicks as f64 / last.views as f64);
        ensure!(last.ctr == rate, "{last:?} should have the rate {rate:?}");
        finals.insert(key.clone(), (last.views, last.clicks));
    }
    Ok(finals)
}

/// Waits until the last rows equal the recount.
///
/// # Errors
/// They differ after the time limit; the error shows the differences.
pub fn wait_for(table: &impl Rows, recount: &Recount) -> Result<()> {
    wait::until_right("the rows", || Ok(difference(&finals(&table.rows()?)?, &recount.counts)))
}

/// Checks that the file contains the recount, and that every offset is accounted for.
///
/// # Errors
/// They differ.
pub fn check_balance(database: &Database, recount: &Recount) -> Result<()> {
    if let Some(difference) = difference(&finals(&database.rows()?)?, &recount.counts) {
        bail!("{difference}");
    }
    let (latest, _) = database.latest()?;
    ensure!(latest == recount.counts, "box_ctr_latest shows other rows than the last of box_ctr");
    let ledger = database.ledger()?;
    ensure!(ledger == recount.ledger, "the ledger is {ledger:?}, not {:?}", recount.ledger);
    ensure!(ledger.values().sum::<u64>() == recount.total(), "the ledger's sum is not the number of records");
    Ok(())
}

/// The first differences, if there are any.
pub fn difference(found: &Counts, expected: &Counts) -> Option<String> {
    if found == expected {
        return None;
    }
    let keys: BTreeSet<&Key> = found.keys().chain(expected.keys()).collect();
    let differing = keys.into_iter().filter(|key| found.get(*key) != expected.get(*key));
    let lines: Vec<String> = differing
        .map(|key| format!("{key:?}: found {:?}, expected {:?}", found.get(key), expected.get(key)))
        .collect();
    let shown = lines.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    Some(format!("{} of {} windows and keys differ:\n{shown}", lines.len(), expected.len()))
}

impl Database {
    /// Opens a file that `setup` created.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(Self(connection))
    }

    /// Partition, offset, stage, reason and pointer of every dead letter, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        let mut statement = self
            .0
            .prepare("select partition, offset, stage, reason, pointer from dead_letters order by 1, 2, 3")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs(), row.get(2)?, row.get(3)?, row.get(4)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The last row of `box_ctr_progress`: the nonzero outcomes.
    ///
    /// # Errors
    /// The file cannot be read, or there is no row.
    pub fn ledger(&self) -> Result<BTreeMap<&'static str, u64>> {
        const OUTCOMES: [&str; 10] = [
            "counted",
            "duplicate",
            "late",
            "rejected",
            "ignored",
            "unmatched",
            "lost",
            "absent",
            "pending",
            "filtered",
        ];
        let sql = format!("select {} from box_ctr_progress order by rowid desc limit 1", OUTCOMES.join(", "));
        let counts = self.0.query_row(&sql, [], |row| {
            (0..OUTCOMES.len())
                .map(|n| Ok(row.get::<_, i64>(n)?.unsigned_abs()))
                .collect::<Result<Vec<u64>, _>>()
        })?;
        Ok(OUTCOMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect())
    }

    /// The rows that were added after a row of `box_ctr`: row number and window end of each.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn added_behind(&self, last: i64) -> Result<Vec<(i64, String)>> {
        let sql = "select rowid, window_end from box_ctr where rowid > ? order by rowid";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([last], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The end of the newest window with a row.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn newest_end(&self) -> Result<Option<String>> {
        Ok(self.0.query_row("select max(window_end) from box_ctr", [], |row| row.get(0))?)
    }

    /// The last watermark of `box_ctr_progress`, milliseconds since the epoch.
    ///
    /// # Errors
    /// The file cannot be read, or there is no row.
    pub fn watermark(&self) -> Result<i64> {
        let sql = "select max(watermark) from box_ctr_progress";
        let text: String = self.0.query_row(sql, [], |row| row.get(0))?;
        Ok(text.parse::<jiff::Timestamp>()?.as_millisecond())
    }

    /// Checks that the watermark of `box_ctr_progress` never moved back.
    ///
    /// # Errors
    /// It moved back, or the file cannot be read.
    pub fn check_watermark(&self) -> Result<()> {
        let mut statement = self.0.prepare("select watermark from box_ctr_progress order by rowid")?;
        let watermarks = statement.query_map([], |row| row.get::<_, String>(0))?;
        let watermarks = watermarks.collect::<Result<Vec<_>, _>>()?;
        for pair in watermarks.windows(2) {
            ensure!(pair[0] <= pair[1], "the watermark went back from {} to {}", pair[0], pair[1]);
        }
        Ok(())
    }

    /// Views and clicks as `box_ctr_latest` shows them, and how many rows of it are final.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn latest(&self) -> Result<(Counts, u64)> {
        let mut statement =
            self.0.prepare("select window_start, page, box, views, clicks, is_final from box_ctr_latest")?;
        let mut rows = statement.query([])?;
        let (mut latest, mut last) = (Counts::new(), 0);
        while let Some(row) = rows.next()? {
            let key = (row.get(0)?, row.get(1)?, row.get(2)?);
            let counts = (row.get::<_, i64>(3)?.unsigned_abs(), row.get::<_, i64>(4)?.unsigned_abs());
            ensure!(latest.insert(key, counts).is_none(), "a window and key is duplicated in box_ctr_latest");
            last += row.get::<_, i64>(5)?.unsigned_abs();
        }
        Ok((latest, last))
    }
}

impl Rows for Database {
    fn rows(&self) -> Result<Vec<Row>> {
        let mut statement = self.0.prepare_cached(
            "select window_start, page, box, views, clicks, ctr, pane, pane_index from box_ctr",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Row {
                key: (row.get(0)?, row.get(1)?, row.get(2)?),
                views: row.get::<_, i64>(3)?.unsigned_abs(),
                clicks: row.get::<_, i64>(4)?.unsigned_abs(),
                ctr: row.get(5)?,
                pane: row.get(6)?,
                index: row.get::<_, i64>(7)?.unsigned_abs(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
