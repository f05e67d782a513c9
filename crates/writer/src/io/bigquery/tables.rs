//! Dataset, tables and views: created and compared. An existing table is never altered.

use std::collections::BTreeMap;

use event::{append::Table, row::FlowTable};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    BigQuery, fault, read,
    rest::{RestError, Schema},
};
use crate::{
    WriterError,
    backend::Mode,
    schema::{self, Column, Kind},
    writer::{State, Step},
};

/// Maximum number of columns by which BigQuery clusters a table.
const CLUSTERED: usize = 4;

/// A dataset, as far as it is compared.
#[derive(Debug, Deserialize)]
struct Dataset {
    #[serde(default)]
    location: String,
}

/// A table or view, as far as it is compared.
#[derive(Debug, Deserialize)]
pub(super) struct Definition {
    schema: Option<Schema>,
    description: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

pub(super) async fn prepare(bigquery: &BigQuery, mode: Mode) -> Result<Vec<Step>, WriterError> {
    let dataset = ensure_dataset(bigquery, mode).await?;
    let mut steps = vec![Step { what: format!("dataset {}", bigquery.config.dataset), state: dataset }];
    // Without a dataset nothing else exists, and asking for it would be an error.
    let all_missing = dataset == State::WouldCreate;
    for (table, time) in bigquery.tables.all() {
        let state = if all_missing { dataset } else { ensure_table(bigquery, &table, time, mode).await? };
        steps.push(Step { what: format!("table {}", table.name()), state });
    }
    for flow in bigquery.tables.flows() {
        let state = if all_missing { dataset } else { ensure_view(bigquery, flow, mode).await? };
        steps.push(Step { what: format!("view {}", flow.latest_name()), state });
    }
    Ok(steps)
}

async fn ensure_dataset(bigquery: &BigQuery, mode: Mode) -> Result<State, WriterError> {
    let config = &bigquery.config;
    let what = format!("dataset {}.{}", config.project, config.dataset);
    match bigquery.rest.get::<Dataset>(&bigquery.dataset_path()).await {
        Ok(found) if found.location.is_empty() || found.location.eq_ignore_ascii_case(&config.location) => {
            return Ok(State::Exists);
        }
        Ok(found) => {
            return Err(WriterError::Location {
                dataset: format!("{}.{}", config.project, config.dataset),
                found: found.location,
                wanted: config.location.clone(),
            });
        }
        Err(error) if fault::is_absent(&error) => {}
        Err(error) => return Err(fault::rest(format!("look for {what}"), error)),
    }
    if let Some(state) = unless_applied(mode, &what)? {
        return Ok(state);
    }
    let reference = json!({ "projectId": config.project, "datasetId": config.dataset });
    let dataset = json!({ "datasetReference": reference, "location": config.location });
    created(bigquery.rest.post("/datasets", &dataset).await, format!("create {what}"))
}

async fn ensure_table(
    bigquery: &BigQuery,
    table: &Table,
    time: &str,
    mode: Mode,
) -> Result<State, WriterError> {
    let name = table.name();
    let columns = bigquery.tables.columns(table)?;
    if let Some(found) = get(bigquery, &name).await? {
        let wanted: Vec<_> =
            columns.iter().map(|column| (column.name.clone(), spelled(column.kind).to_owned())).collect();
        let found: Vec<_> = found
            .schema
            .unwrap_or_default()
            .fields
            .into_iter()
            .map(|f| (f.name, standard(&f.kind)))
            .collect();
        return match schema::difference(&found, &wanted) {
            None => Ok(State::Exists),
            Some(difference) => Err(WriterError::Mismatch { table: bigquery.full(&name), difference }),
        };
    }
    if let Some(state) = unless_applied(mode, &format!("table {}", bigquery.full(&name)))? {
        return Ok(state);
    }
    let by = match table {
        Table::Flow(flow) => bigquery.tables.flow(flow)?.columns.as_slice(),
        _ => &[],
    };
    let path = format!("{}/tables", bigquery.dataset_path());
    let definition = definition(bigquery, &name, &columns, time, by);
    created(bigquery.rest.post(&path, &definition).await, format!("create table {name}"))
}

async fn ensure_view(bigquery: &BigQuery, flow: &FlowTable, mode: Mode) -> Result<State, WriterError> {
    let name = flow.latest_name();
    let description = describe(flow);
    let found = get(bigquery, &name).await?;
    let exists = found.is_some();
    if found.and_then(|view| view.description).is_some_and(|text| text == description) {
        return Ok(State::Exists);
    }
    match (exists, mode) {
        (true, Mode::Check) => return Err(WriterError::Outdated { view: bigquery.full(&name) }),
        (true, Mode::DryRun) => return Ok(State::WouldUpdate),
        (false, mode) => {
            if let Some(state) = unless_applied(mode, &format!("view {}", bigquery.full(&name)))? {
                return Ok(state);
            }
        }
        (true, Mode::Apply) => {}
    }
    // The description comes last: a view without it counts as outdated and is created again.
    read::run(bigquery, &view(bigquery, flow), &[], (&format!("create view {name}"), &name)).await?;
    let patched =
        bigquery.rest.patch(&bigquery.table_path(&name), &json!({ "description": description })).await;
    patched.map_err(|error| fault::rest(format!("describe view {name}"), error))?;
    Ok(if exists { State::Updated } else { State::Created })
}

/// What to return for something missing if nothing may be created.
fn unless_applied(mode: Mode, what: &str) -> Result<Option<State>, WriterError> {
    match mode {
        Mode::Apply => Ok(None),
        Mode::DryRun => Ok(Some(State::WouldCreate)),
        Mode::Check => Err(WriterError::Absent { what: what.to_owned() }),
    }
}

/// A table or view as the REST API describes it; `None` if it does not exist.
pub(super) async fn get(bigquery: &BigQuery, name: &str) -> Result<Option<Definition>, WriterError> {
    match bigquery.rest.get(&bigquery.table_path(name)).await {
        Ok(table) => Ok(Some(table)),
        Err(error) if fault::is_absent(&error) => Ok(None),
        Err(error) => Err(fault::rest(format!("look for table {name}"), error)),
    }
}

fn created(result: Result<(), RestError>, doing: String) -> Result<State, WriterError> {
    match result {
        Ok(()) => Ok(State::Created),
        Err(error) if fault::exists_already(&error) => Ok(State::Exists),
        Err(error) => Err(fault::rest(doing, error)),
    }
}

fn definition(bigquery: &BigQuery, name: &str, columns: &[Column], time: &str, by: &[String]) -> Value {
    let fields = columns
        .iter()
        .map(|column| json!({ "name": column.name, "type": spelled(column.kind), "mode": "NULLABLE" }));
    let (project, dataset) = (&bigquery.config.project, &bigquery.config.dataset);
    let mut definition = json!({
        "tableReference": { "projectId": project, "datasetId": dataset, "tableId": name },
        "schema": { "fields": fields.collect::<Value>() },
        "timePartitioning": { "type": "DAY", "field": time },
    });
    if !by.is_empty() {
        definition["clustering"] = json!({ "fields": by[..by.len().min(CLUSTERED)] });
    }
    definition
}

/// What the view shows. Also identifies its definition, because BigQuery may reformat a query's text. Raise the number
/// when [`view`] changes.
fn describe(flow: &FlowTable) -> String {
    let by = flow.columns.join(", ");
    let join = if flow.join { ", with attributed clicks" } else { "" };
    format!(
        "The newest pane of each window by {by}{join}; final {} ms after its end. Made by `aqueduct setup`, version 1.",
        flow.allowed_lateness.0
    )
}

/// The newest pane of each window and key. Panes are numbered within `window_end`, so a filter on it selects partitions.
fn view(bigquery: &BigQuery, flow: &FlowTable) -> String {
    let columns: Vec<_> =
        schema::pane_columns(flow).iter().map(|column| format!("`{}`", column.name)).collect();
    let by: String = flow.columns.iter().map(|name| format!(", `{name}`")).collect();
    let (table, progress) = (bigquery.quoted(&flow.flow), bigquery.quoted(&flow.progress_name()));
    let lateness = flow.allowed_lateness.0;
    format!(
        "CREATE OR REPLACE VIEW {} AS SELECT {}, \
         COALESCE(TIMESTAMP_DIFF((SELECT p.watermark FROM {progress} AS p ORDER BY p.`at` DESC LIMIT 1), window_end, MILLISECOND) \
         >= {lateness}, FALSE) AS is_final FROM {table} WHERE TRUE \
         QUALIFY ROW_NUMBER() OVER (PARTITION BY window_end{by} ORDER BY pane_index DESC, emitted_at DESC) = 1",
        bigquery.quoted(&flow.latest_name()),
        columns.join(", ")
    )
}

fn spelled(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "STRING",
        Kind::Integer => "INT64",
        Kind::Real => "FLOAT64",
        Kind::Time => "TIMESTAMP",
    }
}

/// The REST API returns the older names of some types.
fn standard(kind: &str) -> String {
    match kind {
        "INTEGER" => "INT64",
        "FLOAT" => "FLOAT64",
        other => other,
    }
    .to_owned()
}
