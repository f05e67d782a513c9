//! Which pipeline writes the tables of a flow, as a table of the file.
//!
//! A second pipeline with flows of the same names would add its rows between those of the first, where no later check could
//! distinguish them.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::fault::Fault;
use crate::{WriterError, names::PIPELINES, schema::Tables, writer::Claim};

/// Records that `pipeline` writes the flows' tables, or looks whether it may.
pub(crate) fn claim(
    connection: &mut Connection,
    tables: &Tables,
    pipeline: &str,
    claim: Claim,
) -> Result<(), Fault> {
    // Immediate: two pipelines that start together must not both find the tables free.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {PIPELINES} (flow TEXT PRIMARY KEY, pipeline TEXT NOT NULL) WITHOUT ROWID"
    ))?;
    for flow in tables.flows() {
        let name = flow.flow.to_ascii_lowercase();
        if claim == Claim::Take {
            refuse_others(&transaction, &flow.flow, pipeline)?;
        }
        transaction.execute(
            &format!("INSERT OR REPLACE INTO {PIPELINES} (flow, pipeline) VALUES (?1, ?2)"),
            params![name, pipeline],
        )?;
    }
    transaction.commit()?;
    Ok(())
}

/// Whether `pipeline` may write the flows' tables; changes nothing.
pub(crate) fn look(connection: &Connection, tables: &Tables, pipeline: &str) -> Result<(), Fault> {
    for flow in tables.flows() {
        refuse_others(connection, &flow.flow, pipeline)?;
    }
    Ok(())
}

/// The pipelines that write to this file; empty for a file of an earlier version and for one that is not ours.
pub(crate) fn owners(connection: &Connection) -> Result<Vec<String>, Fault> {
    if !is_recorded(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(&format!("SELECT DISTINCT pipeline FROM {PIPELINES}"))?;
    let owners = statement.query_map([], |row| row.get(0))?;
    Ok(owners.collect::<Result<_, _>>()?)
}

fn refuse_others(connection: &Connection, flow: &str, pipeline: &str) -> Result<(), Fault> {
    if !is_recorded(connection)? {
        return Ok(());
    }
    let sql = format!("SELECT pipeline FROM {PIPELINES} WHERE flow = ?1");
    let owner: Option<String> =
        connection.query_row(&sql, [flow.to_ascii_lowercase()], |row| row.get(0)).optional()?;
    match owner {
        Some(owner) if owner != pipeline => {
            Err(WriterError::Owned { table: flow.to_owned(), owner, pipeline: pipeline.to_owned() }.into())
        }
        _ => Ok(()),
    }
}

fn is_recorded(connection: &Connection) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(connection.prepare(sql)?.exists([PIPELINES])?)
}
