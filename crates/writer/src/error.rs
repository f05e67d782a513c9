//! What can go wrong with a table. See [`flow::append::Appended::Refused`] for rows that a table refuses.

use std::{fmt, path::PathBuf};

use crate::WriterMode;

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
    #[error("table {0} belongs to no configured flow; this is a bug, please report it")]
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
    /// A table with the rows of the other [`WriterMode`](crate::WriterMode).
    #[error(
        "table {table} has {found}, but writer.mode requires {wanted}; change writer.mode, give the flow a new name, or choose another database: writer.path or writer.dataset"
    )]
    OtherMode {
        /// The table.
        table: String,
        /// What it has for a window and key.
        found: &'static str,
        /// What it should have.
        wanted: &'static str,
    },
    /// A table whose rows replace each other has lost its primary key.
    #[error(
        "table {table} has no primary key, without which its rows cannot replace each other; run ALTER TABLE `{table}` ADD PRIMARY KEY ({columns}) NOT ENFORCED"
    )]
    NoKey {
        /// The table.
        table: String,
        /// The columns of its key.
        columns: String,
    },
    /// A dataset in another location than the configured one.
    #[error(
        "dataset {dataset} is in {found}, but writer.location is {wanted}; correct writer.location, or choose another dataset"
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
    #[error("view {view} does not match the configuration; run `aqueduct setup`")]
    Outdated {
        /// The view.
        view: String,
    },
    /// A file that does not exist yet, and is only to be read.
    #[error("{} does not exist; the first run of `aqueduct processor` or `aqueduct demo` creates it", .path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// Another pipeline writes this table.
    #[error(
        "table {table} belongs to another pipeline ({owner}; this one is {pipeline}); choose another database in [writer], or rename the flow; if the state of this pipeline was moved, run `aqueduct setup --adopt`"
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
        "{} was deleted, moved or replaced while in use; restore it and restart, or restart to create a new file; rows that were not written are in the state",
        .path.display()
    )]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// The disk does not take any more.
    #[error(
        "cannot write to {}: disk full or I/O error; free disk space; rows are kept in the state", .path.display()
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Source,
    },
    /// Another program holds the file.
    #[error("{} is locked by another program; stop it; rows are kept in the state", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Source,
    },
    /// The file cannot be opened or written.
    #[error("cannot open {} for writing; check that its directory exists and is writable", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Source,
    },
    /// The file is no database, or a damaged one.
    #[error("{} is not an SQLite database, or is corrupt; move it away, or change writer.path", .path.display())]
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
    #[error("no response from BigQuery ({doing})")]
    Unavailable {
        /// What was tried.
        doing: String,
        /// The answer, if there was one.
        source: Option<Source>,
    },
    /// BigQuery refuses the caller.
    #[error(
        "BigQuery denied access ({doing}): the credentials are missing, expired or lack a permission; run `gcloud auth application-default login`, or grant roles/bigquery.dataEditor and roles/bigquery.jobUser"
    )]
    Denied {
        /// What was tried.
        doing: String,
        /// The answer.
        source: Source,
    },
    /// Any other answer of BigQuery.
    #[error("BigQuery cannot {doing}")]
    BigQuery {
        /// What was tried.
        doing: String,
        /// The answer.
        source: Source,
    },
    /// A call to Pub/Sub failed.
    #[error(transparent)]
    PubSub(#[from] pubsub::Error),
    /// Pub/Sub refuses messages that are within its limits.
    #[error(
        "Pub/Sub rejected rows for {topic}; remove the schema from the topic, or choose another in writer.topic; rows are kept in the state"
    )]
    TopicRefuses {
        /// The topic.
        topic: String,
        /// The answer.
        source: pubsub::Error,
    },
    /// The contents of a topic cannot be queried.
    #[error(
        "{topic} contains the rows, and a topic cannot be queried; read its messages with a subscription, where the newest message with kind = \"progress\" has the counts"
    )]
    WriteOnly {
        /// The topic.
        topic: String,
    },
    /// A value in a table that this version does not write.
    #[error(
        "table {table}: column {column} contains a value that Aqueduct does not write; check whether another program writes to the table"
    )]
    Value {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// An append that cannot be one of ours.
    #[error(
        "invalid append to {table} at offset {offset} in the state: {problem}; another version wrote it, or it was modified"
    )]
    Append {
        /// The table.
        table: String,
        /// Its offset.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A row that no request can carry.
    #[error("row {index} for {table} exceeds the maximum size of a request; this is a bug, please report it")]
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
    /// A table with the rows of another mode.
    pub(crate) fn other_mode(table: String, found: WriterMode, wanted: WriterMode) -> Self {
        let described = |mode| match mode {
            WriterMode::Append => "a row for each pane (append)",
            WriterMode::Upsert => "one row for each window and key (upsert)",
        };
        Self::OtherMode { table, found: described(found), wanted: described(wanted) }
    }

    /// Whether the same call may succeed later without anyone changing the configuration.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::PubSub(error) => error.is_retryable(),
            _ => matches!(self, Self::Disk { .. } | Self::Busy { .. } | Self::Unavailable { .. }),
        }
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
