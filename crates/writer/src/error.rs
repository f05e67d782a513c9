//! What can go wrong with a table. See [`flow::append::Appended::Refused`] for rows that a table refuses.

use std::{fmt, path::PathBuf};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why rows could not be written or read. No variant carries the content of a row.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// A key of the `[writer]` section is wrong.
    #[error("writer.{key} {problem}")]
    Setting {
        /// The key within the section.
        key: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A flow's name, or the name of one of its columns, cannot be a name in a database.
    #[error("{} of flow {flow_name:?} {problem}", .name)]
    Name {
        /// Which of the flows, from 0.
        flow: usize,
        /// The flow's name.
        flow_name: String,
        /// Which name it is.
        name: NameOf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A table of no configured flow.
    #[error("table {0} belongs to no flow of this configuration; please report this defect")]
    Unknown(String),
    /// A table with another shape than the flows need.
    #[error(
        "table {table}: {difference}; give the flow a new name, or move the old table away and run `aqueduct setup`"
    )]
    Mismatch {
        /// The table.
        table: String,
        /// The column, and what differs.
        difference: String,
    },
    /// A dataset in another location than the configuration says.
    #[error(
        "dataset {dataset} is in {found}, writer.location says {wanted}; correct writer.location, or name another dataset"
    )]
    Location {
        /// The dataset.
        dataset: String,
        /// Where it is.
        found: String,
        /// Where it should be.
        wanted: String,
    },
    /// Something that must be there is not.
    #[error("{what} does not exist; run `aqueduct setup`")]
    Absent {
        /// The dataset, table or view.
        what: String,
    },
    /// A view of another configuration.
    #[error("view {view} was made for another configuration; run `aqueduct setup`")]
    Outdated {
        /// The view.
        view: String,
    },
    /// A file that does not exist yet, and is only to be read.
    #[error("{} does not exist; it is made when `aqueduct processor` or `aqueduct demo` first runs", .path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// Another pipeline writes this table.
    #[error(
        "table {table} is written by another pipeline ({owner}), and this one is {pipeline}; name another database in [writer], \
         or give the flow another name; if it is the same pipeline and its state moved, run `aqueduct setup --adopt`"
    )]
    Owned {
        /// The flow's table.
        table: String,
        /// The pipeline that the table belongs to.
        owner: String,
        /// The pipeline that wanted to write.
        pipeline: String,
    },
    /// The file was deleted, moved or replaced while it was in use.
    #[error(
        "{} was deleted, moved or replaced while it was in use; put it back and start again, or start again to begin a new \
         file; the rows that have not been written wait in the state",
        .path.display()
    )]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// The disk does not take any more.
    #[error(
        "cannot write to {}: the disk is full or fails; free some space, the rows wait until then", .path.display()
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Source,
    },
    /// Another program holds the file.
    #[error("{} is locked by another program; close what else writes to it, the rows wait until then", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Source,
    },
    /// The file cannot be opened or written.
    #[error("cannot open {} for writing; check that its folder exists and may be written", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Source,
    },
    /// The file is no database, or a damaged one.
    #[error("{} is no SQLite database, or a damaged one; move it away, or name another in writer.path", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Source,
    },
    /// Any other answer of SQLite.
    #[error("cannot {doing} in {}", .path.display())]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Source,
    },
    /// The writer was closed before.
    #[error("the writer is closed")]
    Closed,
    /// BigQuery is not reached, or asks to come again.
    #[error("bigquery does not answer ({doing}); rows wait and it is tried again")]
    Unavailable {
        /// What was tried.
        doing: String,
        /// The answer, if there was one.
        source: Option<Source>,
    },
    /// BigQuery refuses the caller.
    #[error(
        "bigquery refuses to {doing}: the credentials are missing, expired or may not do it; \
         run `gcloud auth application-default login`, or grant roles/bigquery.dataEditor and roles/bigquery.jobUser"
    )]
    Denied {
        /// What was tried.
        doing: String,
        /// The answer.
        source: Source,
    },
    /// Any other answer of BigQuery.
    #[error("bigquery cannot {doing}")]
    BigQuery {
        /// What was tried.
        doing: String,
        /// The answer.
        source: Source,
    },
    /// A value in a table that this version does not write.
    #[error(
        "table {table}: column {column} holds a value that aqueduct does not write; find out who else writes to that table"
    )]
    Value {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// An append that cannot be one of ours.
    #[error("the append to {table} at offset {offset} {problem}; it was made by another version or altered")]
    Append {
        /// The table.
        table: String,
        /// Its offset.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A row that no request can carry.
    #[error("row {index} for {table} is larger than a request may be; please report this defect")]
    TooLarge {
        /// The table.
        table: String,
        /// The row among those that were given.
        index: usize,
    },
    /// Rows could not be encoded.
    #[error("cannot encode rows for {table}")]
    Encode {
        /// The table.
        table: String,
        /// Why.
        source: Source,
    },
}

impl WriterError {
    /// Whether the same call may succeed later without anyone changing the configuration.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::Busy { .. } | Self::Unavailable { .. })
    }
}

/// A name in the configuration of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameOf {
    /// The flow's own.
    Flow,
    /// A `by` column.
    By(String),
    /// A measure. The column that is wrong may have a longer name, such as `<measure>_low`.
    Measure {
        /// The measure.
        measure: String,
        /// The column.
        column: String,
    },
}

impl fmt::Display for NameOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow => f.write_str("the name"),
            Self::By(column) => write!(f, "the by column {column:?}"),
            Self::Measure { measure, column } if measure == column => write!(f, "the measure {measure:?}"),
            Self::Measure { measure, column } => {
                write!(f, "the column {column:?} of the measure {measure:?}")
            }
        }
    }
}
