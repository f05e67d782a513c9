//! Flows whose edits do not match their state.

use flow::Flow;
use processor::{ProcessorError, saved::check_flows, store::Store};

use crate::config::{Config, ConfigError};

/// Compares the flows with the state, if there is one that can be read.
///
/// # Errors
/// The key that may not change, with its place in the file.
pub(crate) async fn check(config: &Config, store: &Store, flows: &[Flow]) -> Result<(), ConfigError> {
    match check_flows(store, flows).await {
        Err(ProcessorError::Edited(edited)) => {
            let number = flows.iter().position(|flow| *flow.name == *edited.flow).unwrap_or_default();
            let key = format!("flows[{number}].{}", edited.edit.key);
            Err(config.error_at(key.trim_end_matches('.'), edited))
        }
        // Other errors of the state are reported, or waited for, by the code that reads it.
        _ => Ok(()),
    }
}
