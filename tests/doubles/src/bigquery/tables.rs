//! Datasets, tables and views as they were described, and the rows, in an in-memory SQLite database.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rusqlite::{Connection, functions::FunctionFlags, params_from_iter, types::ValueRef};
use serde_json::{Map, Value, json};
use tonic::Status;

use super::{
    batch::{Batch, Column},
    changes::{Changed, Changes},
    streams::Streams,
};

/// A resource in the format of the REST API.
pub(super) type Resource = Map<String, Value>;

/// The resources and the rows of all projects.
#[derive(Debug)]
pub(super) struct Tables {
    rows: Connection,
    /// Datasets by `project.dataset`, tables and views by `project.dataset.name`.
    resources: BTreeMap<String, Resource>,
    pub(super) streams: Streams,
    /// By `project.dataset.table`.
    changed: BTreeMap<String, Changed>,
}

impl Tables {
    pub(super) fn new() -> rusqlite::Result<Self> {
        let rows = Connection::open_in_memory()?;
        add_functions(&rows)?;
        let (resources, changed) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { rows, resources, streams: Streams::default(), changed })
    }

    pub(super) fn resource(&self, name: &str) -> Result<&Resource, Status> {
        self.resources.get(name).ok_or_else(|| not_found(name))
    }

    pub(super) fn make(&mut self, name: String, resource: Resource) -> Result<&Resource, Status> {
        if self.resources.contains_key(&name) {
            return Err(Status::already_exists(format!("already exists: {name}")));
        }
        if let Some(schema) = resource.get("schema") {
            let columns: Vec<_> = fields(schema).iter().filter_map(column).collect();
            self.rows
                .execute_batch(&format!("CREATE TABLE `{name}` ({})", columns.join(", ")))
                .map_err(|error| invalid(&error))?;
        }
        Ok(self.resources.entry(name).or_insert(resource))
    }

    /// Changes the parts of a resource that are given. A schema may gain columns, as in the service.
    pub(super) fn change(&mut self, name: &str, change: Resource) -> Result<&Resource, Status> {
        let resource = self.resources.get_mut(name).ok_or_else(|| not_found(name))?;
        if let Some(schema) = change.get("schema") {
            let (before, after) = (fields(resource.get("schema").unwrap_or(&Value::Null)), fields(schema));
            let kept = |field: &Value| {
                after.iter().any(|other| other["name"] == field["name"] && other["type"] == field["type"])
            };
            if !before.iter().all(kept) {
                return Err(Status::invalid_argument(format!(
                    "the schema of {name} would lose or change columns"
                )));
            }
            let is_new = |field: &&Value| !before.iter().any(|other| other["name"] == field["name"]);
            for column in after.iter().filter(is_new).filter_map(column) {
                self.rows
                    .execute_batch(&format!("ALTER TABLE `{name}` ADD COLUMN {column}"))
                    .map_err(|error| invalid(&error))?;
            }
        }
        resource.extend(change);
        Ok(resource)
    }

    /// The columns of `projects/P/datasets/D/tables/T`.
    pub(super) fn columns(&self, path: &str) -> Result<Vec<Column>, Status> {
        let schema = self.resource(&name_of(path))?.get("schema").unwrap_or(&Value::Null);
        let text = |field: &Value, key: &str| field[key].as_str().unwrap_or_default().to_owned();
        let column = |field: &Value| Column { name: text(field, "name"), kind: text(field, "type") };
        Ok(fields(schema).iter().map(column).collect())
    }

    /// Adds rows to `projects/P/datasets/D/tables/T`, all or none.
    pub(super) fn add(&mut self, path: &str, batch: &Batch) -> Result<(), Status> {
        let name = name_of(path);
        self.resource(&name)?;
        let transaction = self.rows.transaction().map_err(|error| invalid(&error))?;
        let columns: Vec<_> = batch.columns.iter().map(|column| format!("`{column}`")).collect();
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("INSERT INTO `{name}` ({}) VALUES ({places})", columns.join(", "));
        for row in &batch.rows {
            transaction
                .prepare_cached(&sql)
                .and_then(|mut statement| statement.execute(params_from_iter(row)))
                .map_err(|error| invalid(&error))?;
        }
        transaction.commit().map_err(|error| invalid(&error))
    }

    /// The rows of a request to the default stream of `projects/P/datasets/D/tables/T`.
    pub(super) fn changes(&self, path: &str, batch: &Batch) -> Result<Changes, Status> {
        Changes::read(batch, &primary_key(self.resource(&name_of(path))?))
    }

    /// Whether `projects/P/datasets/D/tables/T` exists and takes changes only.
    pub(super) fn has_primary_key(&self, path: &str) -> bool {
        self.resource(&name_of(path)).is_ok_and(|table| !primary_key(table).is_empty())
    }

    /// Keeps changes until the next query.
    pub(super) fn take_changes(&mut self, path: &str, changes: Changes) {
        self.changed.entry(name_of(path)).or_default().take(changes);
    }

    /// Applies the changes of all tables, as BigQuery does before a query reads a table.
    fn apply_changes(&mut self) -> Result<(), Status> {
        for (name, changed) in &mut self.changed {
            changed.apply(&self.rows, name).map_err(|error| invalid(&error))?;
        }
        Ok(())
    }

    /// Runs a query with named parameters and returns a response of `jobs.query`.
    pub(super) fn query(&mut self, sql: &str, parameters: &[(String, String)]) -> Result<Value, Status> {
        if let Some(view) = sql.strip_prefix("CREATE OR REPLACE VIEW `") {
            let name = view.split('`').next().unwrap_or_default().to_owned();
            self.resources.entry(name).or_default().insert("type".to_owned(), json!("VIEW"));
            return Ok(answer(&[], &[]));
        }
        self.apply_changes()?;
        let mut statement = self.rows.prepare(sql).map_err(|error| invalid(&error))?;
        for (name, value) in parameters {
            let index = statement.parameter_index(&format!("@{name}")).map_err(|error| invalid(&error))?;
            if let Some(index) = index {
                statement.raw_bind_parameter(index, value).map_err(|error| invalid(&error))?;
            }
        }
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut kinds = vec!["STRING"; columns.len()];
        let mut rows = Vec::new();
        let mut found = statement.raw_query();
        while let Some(row) = found.next().map_err(|error| invalid(&error))? {
            let mut cells = Vec::with_capacity(columns.len());
            for (index, kind) in kinds.iter_mut().enumerate() {
                let value = row.get_ref(index).map_err(|error| invalid(&error))?;
                cells.push(json!({ "v": cell(value, kind) }));
            }
            rows.push(json!({ "f": cells }));
        }
        let fields: Vec<_> = columns.iter().map(String::as_str).zip(kinds).collect();
        Ok(answer(&fields, &rows))
    }
}

/// `project.dataset.table` for `projects/P/datasets/D/tables/T`.
pub(super) fn name_of(path: &str) -> String {
    path.split('/').skip(1).step_by(2).collect::<Vec<_>>().join(".")
}

fn fields(schema: &Value) -> &[Value] {
    schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A value in the format of the REST API; sets its type.
fn cell(value: ValueRef<'_>, kind: &mut &str) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Blob(bytes) => {
            *kind = "BYTES";
            json!(STANDARD.encode(bytes))
        }
        ValueRef::Integer(number) => {
            *kind = "INTEGER";
            json!(number.to_string())
        }
        ValueRef::Real(number) => {
            *kind = "FLOAT";
            json!(number.to_string())
        }
        ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
    }
}

fn answer(fields: &[(&str, &str)], rows: &[Value]) -> Value {
    let fields: Vec<_> =
        fields.iter().map(|(name, kind)| json!({ "name": name, "type": kind, "mode": "NULLABLE" })).collect();
    json!({ "jobComplete": true, "totalRows": rows.len().to_string(), "schema": { "fields": fields }, "rows": rows })
}

fn column(field: &Value) -> Option<String> {
    let kind = match field["type"].as_str()? {
        "STRING" | "NUMERIC" => "TEXT",
        "FLOAT" | "FLOAT64" => "REAL",
        "BYTES" => "BLOB",
        _ => "INTEGER",
    };
    Some(format!("`{}` {kind}", field["name"].as_str()?))
}

/// BigQuery's functions for times, which are integers in microseconds here.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("TIMESTAMP_MICROS", 1, flags, |call| call.get::<Option<i64>>(0))?;
    connection.create_scalar_function("TIMESTAMP_MILLIS", 1, flags, |call| {
        Ok(call.get::<Option<i64>>(0)?.map(|millis| millis * 1_000))
    })?;
    connection.create_scalar_function("UNIX_MILLIS", 1, flags, |call| {
        Ok(call.get::<Option<i64>>(0)?.map(|micros| micros.div_euclid(1_000)))
    })
}

fn primary_key(table: &Resource) -> Vec<&str> {
    let constraints = table.get("tableConstraints");
    let key = constraints.and_then(|constraints| constraints["primaryKey"]["columns"].as_array());
    key.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn not_found(name: &str) -> Status {
    Status::not_found(format!("not found: {name}"))
}

fn invalid(error: &rusqlite::Error) -> Status {
    Status::invalid_argument(error.to_string())
}
