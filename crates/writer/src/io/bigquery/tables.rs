//! Dataset, tables and views: made, compared; a table is never altered.

use event::{append::Table, row::FlowTable};
use google_cloud_bigquery_v2::model::{
    Clustering, Dataset, DatasetReference, Table as Definition, TableFieldSchema, TableReference,
    TableSchema, TimePartitioning,
};

use super::{BigQuery, fault, read};
use crate::{
    WriterError,
    schema::{self, Column, Kind},
    writer::{Mode, State, Step},
};

/// BigQuery clusters by so many columns at most.
const CLUSTERED: usize = 4;

pub(crate) async fn prepare(bigquery: &BigQuery, mode: Mode) -> Result<Vec<Step>, WriterError> {
    let dataset = ensure_dataset(bigquery, mode).await?;
    let mut steps = vec![Step { what: format!("dataset {}", bigquery.config.dataset), state: dataset }];
    // Without a dataset nothing else is there, and to ask for it would be an error.
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
    let get = bigquery.datasets.get_dataset();
    match get.set_project_id(&config.project).set_dataset_id(&config.dataset).send().await {
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
        Err(error) => return Err(fault::error(format!("look for {what}"), error)),
    }
    if let Some(state) = unless_applied(mode, &what)? {
        return Ok(state);
    }
    let reference = DatasetReference::new().set_project_id(&config.project).set_dataset_id(&config.dataset);
    let dataset = Dataset::new().set_dataset_reference(reference).set_location(&config.location);
    let insert = bigquery.datasets.insert_dataset().set_project_id(&config.project).set_dataset(dataset);
    created(insert.send().await.map(drop), format!("create {what}"))
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
            .map(|f| (f.name, standard(&f.r#type)))
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
    insert(bigquery, definition(bigquery, &name, &columns, time, by), format!("create table {name}")).await
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
    // The description comes last: a view without it is taken for an old one and made again.
    read::run(bigquery, view(bigquery, flow), &format!("make view {name}")).await?;
    let patch = bigquery
        .definitions
        .patch_table()
        .set_project_id(&bigquery.config.project)
        .set_dataset_id(&bigquery.config.dataset)
        .set_table_id(&name)
        .set_table(Definition::new().set_description(description));
    patch.send().await.map_err(|error| fault::error(format!("describe view {name}"), error))?;
    Ok(if exists { State::Updated } else { State::Created })
}

/// What to say of something missing when nothing may be made.
fn unless_applied(mode: Mode, what: &str) -> Result<Option<State>, WriterError> {
    match mode {
        Mode::Apply => Ok(None),
        Mode::DryRun => Ok(Some(State::WouldCreate)),
        Mode::Check => Err(WriterError::Absent { what: what.to_owned() }),
    }
}

pub(super) async fn get(bigquery: &BigQuery, name: &str) -> Result<Option<Definition>, WriterError> {
    let get = bigquery
        .definitions
        .get_table()
        .set_project_id(&bigquery.config.project)
        .set_dataset_id(&bigquery.config.dataset)
        .set_table_id(name);
    match get.send().await {
        Ok(table) => Ok(Some(table)),
        Err(error) if fault::is_absent(&error) => Ok(None),
        Err(error) => Err(fault::error(format!("look for table {name}"), error)),
    }
}

async fn insert(bigquery: &BigQuery, definition: Definition, doing: String) -> Result<State, WriterError> {
    let insert = bigquery
        .definitions
        .insert_table()
        .set_project_id(&bigquery.config.project)
        .set_dataset_id(&bigquery.config.dataset)
        .set_table(definition);
    created(insert.send().await.map(drop), doing)
}

fn created(result: Result<(), google_cloud_bigquery_v2::Error>, doing: String) -> Result<State, WriterError> {
    match result {
        Ok(()) => Ok(State::Created),
        Err(error) if fault::exists_already(&error) => Ok(State::Exists),
        Err(error) => Err(fault::error(doing, error)),
    }
}

fn definition(bigquery: &BigQuery, name: &str, columns: &[Column], time: &str, by: &[String]) -> Definition {
    let fields = columns.iter().map(|column| {
        TableFieldSchema::new().set_name(&column.name).set_type(spelled(column.kind)).set_mode("NULLABLE")
    });
    let definition = Definition::new()
        .set_table_reference(reference(bigquery, name))
        .set_schema(TableSchema::new().set_fields(fields))
        .set_time_partitioning(TimePartitioning::new().set_type("DAY").set_field(time));
    if by.is_empty() {
        return definition;
    }
    definition.set_clustering(Clustering::new().set_fields(by.iter().take(CLUSTERED).cloned()))
}

fn reference(bigquery: &BigQuery, name: &str) -> TableReference {
    TableReference::new()
        .set_project_id(&bigquery.config.project)
        .set_dataset_id(&bigquery.config.dataset)
        .set_table_id(name)
}

/// What the view shows, for people, and by which it is told whether it is up to date: BigQuery may
/// write a query's text anew. Raise the number when [`view`] changes.
fn describe(flow: &FlowTable) -> String {
    let by = flow.columns.join(", ");
    let join = if flow.join { ", with attributed clicks" } else { "" };
    format!(
        "The newest pane of each window by {by}{join}; final {} ms after its end. Made by `aqueduct setup`, version 1.",
        flow.allowed_lateness.0
    )
}

/// The newest pane of each window and key. A filter on `window_end` reaches the partitions, as the
/// panes are numbered within it.
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

/// REST answers with the older names of some types.
fn standard(kind: &str) -> String {
    match kind {
        "INTEGER" => "INT64",
        "FLOAT" => "FLOAT64",
        other => other,
    }
    .to_owned()
}
