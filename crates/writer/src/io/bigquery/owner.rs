//! Which pipeline writes the tables of a flow, as a label of the table.
//!
//! A label has at most 63 characters of a small alphabet, so it contains a hash of the pipeline's name. Two pipelines
//! that start in the same second may both find a table free: the labels guard against a copied configuration, they are
//! not a lock.

use serde_json::json;

use super::{
    BigQuery, fault,
    tables::{self, Definition},
};
use crate::{WriterError, writer::Claim};

const LABEL: &str = "aqueduct_pipeline";

pub(super) async fn claim(bigquery: &BigQuery, pipeline: &str, claim: Claim) -> Result<(), WriterError> {
    for flow in bigquery.tables.flows() {
        let name = &*flow.flow;
        let Some(found) = tables::get(bigquery, name).await? else {
            return Err(WriterError::Absent { what: format!("table {}", bigquery.full(name)) });
        };
        if claim == Claim::Take {
            refuse_others(bigquery, name, &found, pipeline)?;
        }
        if found.labels.get(LABEL).is_some_and(|owner| *owner == hash(pipeline)) {
            continue;
        }
        // Labels are replaced as a whole where the server does not merge them: the others are sent along.
        let mut labels = found.labels;
        labels.insert(LABEL.to_owned(), hash(pipeline));
        let patched = bigquery.rest.patch(&bigquery.table_path(name), &json!({ "labels": labels })).await;
        match patched.map_err(|error| fault::rest(format!("label table {name}"), error)) {
            Ok(()) => {}
            // An account that may write rows but not change tables continues, as it did before there were labels.
            Err(WriterError::Denied { .. }) if claim == Claim::Take => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) async fn look(bigquery: &BigQuery, pipeline: &str) -> Result<(), WriterError> {
    for flow in bigquery.tables.flows() {
        if let Some(found) = tables::get(bigquery, &flow.flow).await? {
            refuse_others(bigquery, &flow.flow, &found, pipeline)?;
        }
    }
    Ok(())
}

fn refuse_others(
    bigquery: &BigQuery,
    name: &str,
    found: &Definition,
    pipeline: &str,
) -> Result<(), WriterError> {
    match found.labels.get(LABEL) {
        Some(owner) if *owner != hash(pipeline) => Err(WriterError::Owned {
            table: bigquery.full(name),
            owner: format!("label {LABEL} = {owner}"),
            pipeline: format!("{} ({pipeline})", hash(pipeline)),
        }),
        _ => Ok(()),
    }
}

/// FNV-1a, 64 bits: the label must stay the same from version to version.
fn hash(pipeline: &str) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", pipeline.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_stable() {
        // The reference values of FNV-1a.
        for (text, expected) in
            [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")]
        {
            assert_eq!(hash(text), expected, "{text}");
        }
    }
}
