//! Dataset, tables and views. A table that exists gains the columns of new measures; nothing else of it changes.

use std::collections::BTreeMap;

use flow::{
    append::Table,
    row::{Column, FlowTable, Kind},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{BigQuery, fault, read, rest::RestError, upsert::PRIMARY_KEY};
use crate::{
    WriterError, WriterMode,
    backend::Mode,
    names::ROW_KEY,
    schema::{self, DETAIL, Target},
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
    #[serde(default)]
    schema: Schema,
    description: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default, rename = "tableConstraints")]
    constraints: Constraints,
}

#[derive(Debug, Default, Deserialize)]
struct Constraints {
    #[serde(rename = "primaryKey")]
    primary_key: Option<PrimaryKey>,
}

#[derive(Debug, Deserialize)]
struct PrimaryKey {
    #[serde(default)]
    columns: Vec<String>,
}

/// The columns of a table, with all properties that BigQuery returns: a change of the schema names every column.
#[derive(Debug, Default, Deserialize)]
struct Schema {
    #[serde(default)]
    fields: Vec<Map<String, Value>>,
}

impl Definition {
    /// Whether it has a column of this name.
    pub(super) fn has(&self, column: &str) -> bool {
        let name = |field: &Map<String, Value>| {
            field.get("name").and_then(Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case(column))
        };
        self.schema.fields.iter().any(name)
    }
}

pub(super) async fn prepare(bigquery: &BigQuery, mode: Mode) -> Result<Vec<Step>, WriterError> {
    let dataset = ensure_dataset(bigquery, mode).await?;
    let mut steps = vec![Step { what: format!("dataset {}", bigquery.config.dataset), state: dataset }];
    // Without a dataset nothing else exists, and asking for it would be an error.
    let all_missing = dataset == State::WouldCreate;
    for table in bigquery.tables.all() {
        let mut target = bigquery.tables.target(&table)?;
        if bigquery.config.mode == WriterMode::Upsert && matches!(table, Table::Progress(_)) {
            // Only here does `engines/beam` write tables: where rows replace each other.
            target.columns.push(Column { name: DETAIL.into(), kind: Kind::Text });
        }
        let state = if all_missing { dataset } else { ensure_table(bigquery, &target, mode).await? };
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

async fn ensure_table(bigquery: &BigQuery, target: &Target<'_>, mode: Mode) -> Result<State, WriterError> {
    let name = target.name();
    if let Some(found) = get(bigquery, &name).await? {
        if target.flow.is_some() {
            expect_mode(bigquery, &name, &found)?;
        }
        return ensure_columns(bigquery, target, found.schema, mode).await;
    }
    if let Some(state) = unless_applied(mode, &format!("table {}", bigquery.full(&name)))? {
        return Ok(state);
    }
    let path = format!("{}/tables", bigquery.dataset_path());
    created(bigquery.rest.post(&path, &definition(bigquery, target)).await, format!("create table {name}"))
}

/// Fails if a flow's table has the rows of the other mode, which its primary key shows, or has lost its key.
fn expect_mode(bigquery: &BigQuery, name: &str, found: &Definition) -> Result<(), WriterError> {
    let (table, wanted) = (bigquery.full(name), bigquery.config.mode);
    let key = found.constraints.primary_key.as_ref().map(|key| key.columns.as_slice());
    match (key, wanted) {
        (None, WriterMode::Append) if !found.has(ROW_KEY) => Ok(()),
        (None, WriterMode::Upsert) if found.has(ROW_KEY) => {
            Err(WriterError::NoKey { table, columns: PRIMARY_KEY.join(", ") })
        }
        (Some(key), WriterMode::Upsert) if key == PRIMARY_KEY => Ok(()),
        (Some(key), WriterMode::Upsert) => {
            let difference =
                format!("the primary key is ({}), expected ({})", key.join(", "), PRIMARY_KEY.join(", "));
            Err(WriterError::Mismatch { table, difference })
        }
        (None, WriterMode::Upsert) => Err(WriterError::other_mode(table, WriterMode::Append, wanted)),
        (_, WriterMode::Append) => Err(WriterError::other_mode(table, WriterMode::Upsert, wanted)),
    }
}

async fn ensure_columns(
    bigquery: &BigQuery,
    target: &Target<'_>,
    schema: Schema,
    mode: Mode,
) -> Result<State, WriterError> {
    let name = target.name();
    let text = |field: &Map<String, Value>, key| {
        field.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let found: Vec<_> = schema.fields.iter().map(|f| (text(f, "name"), standard(&text(f, "type")))).collect();
    let gained = target.gained(&bigquery.full(&name), &found, spelled)?;
    match (gained.first(), mode) {
        (None, _) => Ok(State::Exists),
        (Some(_), Mode::DryRun) => Ok(State::WouldUpdate),
        (Some(column), Mode::Check) => {
            let what = format!("column {} of table {}", column.name, bigquery.full(&name));
            Err(WriterError::Absent { what })
        }
        (Some(_), Mode::Apply) => {
            let fields: Value =
                schema.fields.into_iter().map(Value::Object).chain(gained.into_iter().map(field)).collect();
            let change = json!({ "schema": { "fields": fields } });
            let patched = bigquery.rest.patch(&bigquery.table_path(&name), &change).await;
            patched.map_err(|error| fault::rest(format!("add columns to table {name}"), error))?;
            Ok(State::Updated)
        }
    }
}

async fn ensure_view(bigquery: &BigQuery, flow: &FlowTable, mode: Mode) -> Result<State, WriterError> {
    let name = flow.latest_name();
    let description = describe(flow, bigquery.config.mode);
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

fn definition(bigquery: &BigQuery, target: &Target<'_>) -> Value {
    let (project, dataset) = (&bigquery.config.project, &bigquery.config.dataset);
    let mut definition = json!({
        "tableReference": { "projectId": project, "datasetId": dataset, "tableId": target.name() },
        "schema": { "fields": target.columns.iter().map(field).collect::<Value>() },
        "timePartitioning": { "type": "DAY", "field": schema::partitioned_by(target.table) },
    });
    let Some(flow) = target.flow else { return definition };
    match bigquery.config.mode {
        WriterMode::Append => {
            definition["clustering"] = json!({ "fields": flow.columns[..flow.columns.len().min(CLUSTERED)] });
        }
        WriterMode::Upsert => {
            // Queries filter by the first columns, and changes find their rows by the whole key.
            let by = flow.columns.iter().take(CLUSTERED - 1).map(String::as_str);
            definition["clustering"] = json!({ "fields": by.chain([ROW_KEY]).collect::<Value>() });
            definition["tableConstraints"] = json!({ "primaryKey": { "columns": PRIMARY_KEY } });
            let key = Column { name: ROW_KEY.to_owned(), kind: Kind::Text };
            let columns = target.columns.iter().chain([&key]).map(|column| {
                let mut field = field(column);
                if PRIMARY_KEY.contains(&column.name.as_str()) {
                    field["mode"] = "REQUIRED".into();
                }
                field
            });
            definition["schema"] = json!({ "fields": columns.collect::<Value>() });
        }
    }
    definition
}

fn field(column: &Column) -> Value {
    json!({ "name": column.name, "type": spelled(column.kind), "mode": "NULLABLE" })
}

/// What the view shows. Also identifies its definition, because BigQuery may reformat a query's text. Raise the number of a
/// kind of windows when its [`view`] changes.
fn describe(flow: &FlowTable, mode: WriterMode) -> String {
    let by = flow.columns.join(", ");
    let columns = flow.all_columns();
    // Views of release 0.1.0 are up to date, so their description does not change.
    let measures = if columns != schema::release_0_1_0(flow).all_columns() {
        let names: Vec<_> =
            flow.measures.iter().flat_map(|measure| measure.columns()).map(|c| c.name).collect();
        format!(", with {}", names.join(", "))
    } else if columns.iter().any(|column| column.name == "attributed_clicks") {
        ", with attributed clicks".to_owned()
    } else {
        String::new()
    };
    let (window, version) = if flow.merging { ("session", 2) } else { ("window", 1) };
    let only = if mode == WriterMode::Upsert { ", the only one in the table" } else { "" };
    format!(
        "The newest pane of each {window} by {by}{only}{measures}; final {} ms after its end. Made by `aqueduct setup`, version {version}.",
        flow.allowed_lateness.0
    )
}

/// The newest pane of each window and key. Panes are numbered within `window_end`, so a filter on it selects partitions.
///
/// Panes of a session overlap, directly or through others, and the newest counts everything that the others do. A session of
/// which an EARLY pane is the newest is still open, however long ago that fired. No column can be called `rowid`, which is 1
/// where a session begins, or `flow`, which is the number of the session within its key.
///
/// Where rows replace each other, each window of a key has one row. Sessions are still compared, because BigQuery keeps a
/// deletion that overtook its row for two days only.
fn view(bigquery: &BigQuery, flow: &FlowTable) -> String {
    let columns: Vec<_> = flow.all_columns().iter().map(|column| format!("`{}`", column.name)).collect();
    let by: String = flow.columns.iter().map(|name| format!(", `{name}`")).collect();
    let (table, progress) = (bigquery.quoted(&flow.flow), bigquery.quoted(&flow.progress_name()));
    let lateness = flow.allowed_lateness.0;
    let (panes, window, has_ended) = if flow.merging {
        let key = by.trim_start_matches(", ");
        let begins = format!(
            "SELECT *, IF(window_start < MAX(window_end) OVER (PARTITION BY {key} ORDER BY window_start, window_end \
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0, 1) AS rowid FROM {table}"
        );
        // Panes of one window are in no order here; the sum, whose frame is a range, is the same for all of them.
        let panes = format!(
            "(SELECT *, SUM(rowid) OVER (PARTITION BY {key} ORDER BY window_start, window_end) AS flow FROM ({begins})) WHERE TRUE"
        );
        (panes, "flow", "pane <> 'EARLY' AND ")
    } else {
        (format!("{table} WHERE TRUE"), "window_end", "")
    };
    let newest = match bigquery.config.mode {
        WriterMode::Upsert if !flow.merging => String::new(),
        _ => format!(
            " QUALIFY ROW_NUMBER() OVER (PARTITION BY {window}{by} ORDER BY pane_index DESC, emitted_at DESC) = 1"
        ),
    };
    format!(
        "CREATE OR REPLACE VIEW {} AS SELECT {}, \
         COALESCE({has_ended}TIMESTAMP_DIFF((SELECT p.watermark FROM {progress} AS p ORDER BY p.`at` DESC LIMIT 1), window_end, MILLISECOND) \
         >= {lateness}, FALSE) AS is_final FROM {panes}{newest}",
        bigquery.quoted(&flow.latest_name()),
        columns.join(", ")
    )
}

fn spelled(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "STRING",
        Kind::Integer => "INT64",
        Kind::Decimal => "NUMERIC",
        Kind::Real => "FLOAT64",
        Kind::Time => "TIMESTAMP",
        Kind::Bytes => "BYTES",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BigQueryConfig, Endpoints, fixtures, schema::Tables};

    fn bigquery(flow: &FlowTable, mode: WriterMode) -> BigQuery {
        let config = BigQueryConfig {
            project: "p".to_owned(),
            dataset: "d".to_owned(),
            location: "EU".to_owned(),
            mode,
            emulator: Some(Endpoints { rest: "http://h:1".to_owned(), grpc: "http://h:1".to_owned() }),
        };
        let tables = Tables::try_new(std::slice::from_ref(flow)).expect("the names are good");
        BigQuery::new(&config, tables).expect("clients")
    }

    /// With another description `check` refuses the views that release 0.1.0 made.
    #[tokio::test]
    async fn views_of_release_0_1_0_are_up_to_date() {
        for (join, description, columns) in [
            (
                false,
                "The newest pane of each window by page, box; final 120000 ms after its end. Made by `aqueduct setup`, \
                 version 1.",
                "",
            ),
            (
                true,
                "The newest pane of each window by page, box, with attributed clicks; final 120000 ms after its end. Made \
                 by `aqueduct setup`, version 1.",
                "`attributed_clicks`, `ctr_attributed`, ",
            ),
        ] {
            let flow = fixtures::ctr(join);
            assert_eq!(describe(&flow, WriterMode::Append), description);
            let expected = format!(
                "CREATE OR REPLACE VIEW `p.d.box_ctr_latest` AS SELECT `page`, `box`, `window_start`, `window_end`, `views`, \
                 `clicks`, `ctr`, `ctr_low`, `ctr_high`, {columns}`pane`, `pane_index`, `watermark`, `emitted_at`, \
                 COALESCE(TIMESTAMP_DIFF((SELECT p.watermark FROM `p.d.box_ctr_progress` AS p ORDER BY p.`at` DESC LIMIT 1), \
                 window_end, MILLISECOND) >= 120000, FALSE) AS is_final FROM `p.d.box_ctr` WHERE TRUE QUALIFY ROW_NUMBER() \
                 OVER (PARTITION BY window_end, `page`, `box` ORDER BY pane_index DESC, emitted_at DESC) = 1"
            );
            assert_eq!(view(&bigquery(&flow, WriterMode::Append), &flow), expected);
        }
    }

    #[tokio::test]
    async fn a_view_is_described_by_its_measures() {
        let flow = fixtures::measures();
        let mut other = flow.clone();
        other.measures = flow.measures[1..].into();
        for mode in [WriterMode::Append, WriterMode::Upsert] {
            assert_ne!(describe(&flow, mode), describe(&other, mode));
            assert_ne!(view(&bigquery(&flow, mode), &flow), view(&bigquery(&other, mode), &other));
        }
        let [append, upsert] = [WriterMode::Append, WriterMode::Upsert].map(|mode| describe(&flow, mode));
        assert_ne!(append, upsert, "setup replaces the view of a table of the other mode");
    }

    #[tokio::test]
    async fn sessions_are_compared_in_both_modes() {
        for (flow, expected) in [(fixtures::sessions(), true), (fixtures::ctr(true), false)] {
            let view = view(&bigquery(&flow, WriterMode::Upsert), &flow);
            assert_eq!(view.contains("QUALIFY"), expected, "{view}");
        }
    }
}
