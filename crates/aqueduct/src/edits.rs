//! Flows that were edited so that their state does not fit them any more.

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
        // Whatever else is wrong with the state is reported, or waited for, by what reads it.
        _ => Ok(()),
    }
}
