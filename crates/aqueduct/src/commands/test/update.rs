//! Writes computed rows into a file of tests; everything else in the file stays as it is.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, bail};
use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Value};

use super::compare::Row;
use crate::output::Output;

/// Columns that say when and why a row was written, which change from run to run or follow from the others.
const OF_FIRING: [&str; 4] = ["pane", "pane_index", "watermark", "emitted_at"];

/// Replaces the expected rows of some tests: their number, the key, and the rows.
pub(super) fn write(path: &Path, tests: &[(usize, &'static str, Vec<Row>)]) -> anyhow::Result<()> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let mut document: DocumentMut = text.parse().with_context(|| format!("cannot read {name}"))?;
    for (number, key, rows) in tests {
        let Some(test) =
            document.get_mut("test").and_then(|tests| tests.as_array_of_tables_mut()?.get_mut(*number))
        else {
            bail!("cannot update {name}: write its tests as [[test]] sections");
        };
        test.insert(key, Item::Value(Value::Array(array(rows, *key == "expect_panes"))));
    }
    let mut output = Output::create(path)?;
    output.write_all(document.to_string().as_bytes()).with_context(|| format!("cannot write {name}"))?;
    output.finish()
}

fn array(rows: &[Row], panes: bool) -> Array {
    let mut array = Array::new();
    for row in rows {
        let mut table = InlineTable::new();
        for (name, value) in &row.columns.0 {
            if !OF_FIRING.contains(&name.as_str()) || (panes && name == "pane") {
                table.insert(name, scalar(value));
            }
        }
        let mut value = Value::InlineTable(table);
        value.decor_mut().set_prefix("\n    ");
        array.push_formatted(value);
    }
    if !rows.is_empty() {
        array.set_trailing_comma(true);
        array.set_trailing("\n");
    }
    array
}

fn scalar(value: &Json) -> Value {
    match value {
        Json::String(text) => text.as_str().into(),
        Json::Bool(boolean) => (*boolean).into(),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        // TOML has no null, and rows have no lists.
        Json::Null | Json::Array(_) | Json::Object(_) => f64::NAN.into(),
    }
}
