//! An SQLite file.
//!
//! One connection writes, another reads, so that a live table never waits for an append; both are
//! used on the blocking pool. The file is in WAL mode with `synchronous=FULL`: what was answered
//! `Done` survives a loss of power, as the processor forgets the rows then.

mod append;
mod body;
mod ddl;
mod fault;
mod identity;
mod legacy;
mod owner;
mod read;
mod upsert;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use fault::Fault;
use flow::{
    append::{Append, Appended, Body, Rows, Table},
    row::{DeadLetterRow, ProgressRow},
};
use identity::Identity;
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{
    LatestRow, Letters, Refusals, SqliteConfig, WriterError, WriterMode,
    backend::{Backend, Mode, Place},
    schema::Tables,
    writer::{Claim, Step},
};

/// How long a statement waits for another program that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An open file.
#[derive(Debug)]
struct Sqlite {
    path: Arc<Path>,
    /// The file that was opened.
    identity: Identity,
    tables: Tables,
    mode: WriterMode,
    /// Nothing once closed, or where the file was opened to be read.
    writing: Shared,
    reading: Shared,
}

type Shared = Arc<Mutex<Option<Connection>>>;

#[async_trait]
impl Place for SqliteConfig {
    async fn connect(&self, tables: Tables) -> Result<Arc<dyn Backend>, WriterError> {
        Ok(Arc::new(Sqlite::connect(&self.path, tables, self.mode).await?))
    }

    async fn open(&self, tables: Tables) -> Result<Arc<dyn Backend>, WriterError> {
        let path: Arc<Path> = self.path.as_path().into();
        let (file, needed, rows) = (path.clone(), tables.clone(), self.mode);
        let (identity, reading) = blocking(move || {
            if !file.exists() {
                return Err(WriterError::NoFile { path: file.to_path_buf() });
            }
            let reading = open_for_reading(&file)?;
            ddl::prepare(&reading, &file, (&needed, rows), Mode::Check)?;
            Ok((Identity::of(&file)?, reading))
        })
        .await?;
        let (writing, reading) = (shared(None), shared(Some(reading)));
        Ok(Arc::new(Sqlite { path, identity, tables, mode: self.mode, writing, reading }))
    }

    async fn prepare(&self, tables: Tables, mode: Mode) -> Result<Vec<Step>, WriterError> {
        let (path, rows) = (self.path.clone(), self.mode);
        blocking(move || {
            let tables = (&tables, rows);
            let exists = path.exists();
            if mode == Mode::Check {
                try_writing(&path)?;
            }
            if exists && mode == Mode::Check {
                // A table or column that is missing is added when the file is first written.
                return ddl::prepare(&open_for_reading(&path)?, &path, tables, Mode::DryRun);
            }
            if exists && mode == Mode::DryRun {
                return ddl::prepare(&open_for_reading(&path)?, &path, tables, mode);
            }
            if mode == Mode::Apply {
                return ddl::prepare(&open_for_writing(&path)?, &path, tables, mode);
            }
            folder_exists(&path)?;
            let empty =
                Connection::open_in_memory().map_err(|e| fault::error(&path, "open a database", e))?;
            ddl::prepare(&empty, &path, tables, Mode::DryRun)
        })
        .await
    }

    async fn check_owner(&self, tables: Tables, pipeline: &str) -> Result<(), WriterError> {
        let (path, pipeline) = (self.path.clone(), pipeline.to_owned());
        blocking(move || {
            if !path.exists() {
                return Ok(());
            }
            let connection = open_for_reading(&path)?;
            owner::look(&connection, &tables, &pipeline).map_err(|fault| fault.at(&path, "read the tables"))
        })
        .await
    }
}

#[async_trait]
impl Backend for Sqlite {
    fn check_place(&self) -> Result<(), WriterError> {
        self.identity.expect_at(&self.path)
    }

    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
        body::encode(&self.tables.target(table)?, rows)
    }

    fn without(&self, append: &Append, refused: &[u32]) -> Result<Body, WriterError> {
        body::without(append, &self.tables.target(&append.table)?, refused)
    }

    async fn claim(&self, pipeline: &str, claim: Claim) -> Result<(), WriterError> {
        let (tables, pipeline) = (self.tables.clone(), pipeline.to_owned());
        self.write("claim the tables", move |connection| owner::claim(connection, &tables, &pipeline, claim))
            .await
    }

    async fn open_stream(&self, table: &Table) -> Result<String, WriterError> {
        self.tables.target(table)?;
        let table = table.name();
        self.write("open a stream", move |connection| append::open_stream(connection, &table)).await
    }

    async fn append(&self, append: &Append) -> Result<Appended, WriterError> {
        let (tables, append) = (self.tables.clone(), append.clone());
        let (identity, path, mode) = (self.identity, self.path.clone(), self.mode);
        self.write("append rows", move |connection| {
            let still_there = || identity.expect_at(&path);
            append::append(connection, &append, &tables.target(&append.table)?, (mode, &still_there))
        })
        .await
    }

    async fn contains(&self, append: &Append) -> Result<bool, WriterError> {
        if self.replaces(&append.table) {
            // A newer pane may have replaced the rows. Writing them again replaces no newer one.
            return Ok(false);
        }
        let (tables, append) = (self.tables.clone(), append.clone());
        self.read("look for rows", move |connection| {
            append::contains(connection, &append, &tables.target(&append.table)?)
        })
        .await
    }

    async fn count(&self, table: &Table) -> Result<u64, WriterError> {
        self.tables.target(table)?;
        let (table, replaces) = (table.name(), self.replaces(table));
        self.read("count rows", move |connection| match replaces {
            true => read::received(connection, &table),
            false => read::count(connection, &table),
        })
        .await
    }

    async fn progress(&self, flow: &str) -> Result<Option<ProgressRow>, WriterError> {
        let table = self.tables.flow(flow)?.clone();
        self.read("read the progress", move |connection| read::progress(connection, &table)).await
    }

    async fn latest(&self, flow: &str, limit: usize) -> Result<Vec<LatestRow>, WriterError> {
        let (table, mode) = (self.tables.flow(flow)?.clone(), self.mode);
        self.read("read the newest panes", move |connection| read::latest(connection, (&table, mode), limit))
            .await
    }

    async fn refusals(&self) -> Result<Vec<Refusals>, WriterError> {
        self.read("read the dead letters", |connection| read::refusals(connection)).await
    }

    async fn dead_letters(&self, letters: &Letters) -> Result<Vec<DeadLetterRow>, WriterError> {
        let letters = letters.clone();
        self.read("read the dead letters", move |connection| read::dead_letters(connection, &letters)).await
    }

    /// Closes reader before writer: the last connection folds the WAL into the file and takes it away.
    async fn close(&self) -> Result<(), WriterError> {
        let (reading, writing) = (self.reading.clone(), self.writing.clone());
        let (identity, path) = (self.identity, self.path.clone());
        blocking(move || {
            let is_gone = identity.expect_at(&path).is_err();
            for shared in [reading, writing] {
                let connection = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(connection) = connection {
                    if is_gone {
                        // The last connection removes the log beside the path, which may belong to another file by now.
                        connection
                            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                            .map_err(|e| fault::error(&path, "close the database", e))?;
                    }
                    connection.close().map_err(|(_, e)| fault::error(&path, "close the database", e))?;
                }
            }
            Ok(())
        })
        .await
    }
}

impl Sqlite {
    /// Whether the rows of a table replace each other.
    fn replaces(&self, table: &Table) -> bool {
        self.mode == WriterMode::Upsert && matches!(table, Table::Flow(_))
    }

    async fn connect(path: &Path, tables: Tables, mode: WriterMode) -> Result<Self, WriterError> {
        let path: Arc<Path> = path.into();
        let (file, needed) = (path.clone(), tables.clone());
        let (identity, writing, reading) = blocking(move || {
            let writing = open_for_writing(&file)?;
            let identity = Identity::of(&file)?;
            ddl::prepare(&writing, &file, (&needed, mode), Mode::Apply)?;
            let reading = open_for_reading(&file)?;
            // Both connections have the file that is looked for from here on.
            identity.expect_at(&file)?;
            Ok((identity, writing, reading))
        })
        .await?;
        let (writing, reading) = (shared(Some(writing)), shared(Some(reading)));
        Ok(Self { path, identity, tables, mode, writing, reading })
    }

    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        job: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, WriterError> {
        run(self.writing.clone(), self.path.clone(), doing, job).await
    }

    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        job: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, WriterError> {
        run(self.reading.clone(), self.path.clone(), doing, job).await
    }
}

/// The pipelines that write to an SQLite file, by the names that they were given to [`Backend::claim`].
/// Empty for a file of an earlier version, and for a database of another program.
///
/// # Errors
/// The file is no database, or cannot be read.
pub fn pipelines(path: &Path) -> Result<Vec<String>, WriterError> {
    let connection = open_for_reading(path)?;
    owner::owners(&connection).map_err(|fault| fault.at(path, "read the tables"))
}

fn shared(connection: Option<Connection>) -> Shared {
    Arc::new(Mutex::new(connection))
}

async fn run<T: Send + 'static>(
    connection: Shared,
    path: Arc<Path>,
    doing: &'static str,
    job: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
) -> Result<T, WriterError> {
    blocking(move || {
        // A job that panicked left a transaction that its drop rolled back: the connection is sound.
        let mut guard = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = guard.as_mut().ok_or(WriterError::Closed)?;
        job(connection).map_err(|fault| fault.at(&path, doing))
    })
    .await
}

/// Runs a job on the blocking pool. Once begun it runs to its end, though the caller may go away.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, WriterError> + Send + 'static,
) -> Result<T, WriterError> {
    match tokio::task::spawn_blocking(job).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and never began the job.
            Err(_) => Err(WriterError::Closed),
        },
    }
}

fn open_for_writing(path: &Path) -> Result<Connection, WriterError> {
    folder_exists(path)?;
    let doing = "open the database";
    let connection = Connection::open(path).map_err(|e| fault::error(path, doing, e))?;
    prepare_connection(&connection)
        .and_then(|()| connection.pragma_update(None, "journal_mode", "wal"))
        .and_then(|()| connection.pragma_update(None, "synchronous", "full"))
        .map_err(|e| fault::error(path, doing, e))?;
    Ok(connection)
}

fn open_for_reading(path: &Path) -> Result<Connection, WriterError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .and_then(|connection| prepare_connection(&connection).map(|()| connection));
    connection.map_err(|e| fault::error(path, "open the database", e))
}

fn prepare_connection(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(BUSY_TIMEOUT)
}

/// Whether the file, and its log beside it, could be written. Makes nothing that stays.
fn try_writing(path: &Path) -> Result<(), WriterError> {
    folder_exists(path)?;
    let unwritable =
        |source: io::Error| WriterError::Open { path: path.to_path_buf(), source: source.into() };
    let mut probe = path.as_os_str().to_owned();
    probe.push(format!("-check-{}", std::process::id()));
    File::create_new(&probe).map_err(unwritable)?;
    fs::remove_file(&probe).map_err(unwritable)?;
    if path.exists() {
        // No connection of this process has the file: closing a descriptor of it would free SQLite's locks.
        File::options().append(true).open(path).map_err(unwritable)?;
    }
    Ok(())
}

fn folder_exists(path: &Path) -> Result<(), WriterError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(WriterError::Open {
            path: PathBuf::from(path),
            source: format!("directory {} does not exist", folder.display()).into(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
