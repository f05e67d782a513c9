//! The rules of the connector for benchmarks.

use anyhow::Result;
use clap::ValueEnum;
use tests::pipe::Pipe;

/// A set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rules {
    /// One ID and the Kafka key are pseudonymised and one member is removed, comparable to MaskField in Kafka Connect.
    OneId,
    /// The rules of a shop: two IDs and those in a list are pseudonymised, one member is removed, a query is stripped.
    Shop,
}

impl Rules {
    /// Configures a pipeline with these rules.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn apply(self, pipe: &Pipe) -> Result<()> {
        match self {
            Self::Shop => Ok(()),
            Self::OneId => {
                pipe.edit(", \"/session/user\", \"/items/*/seller_id\"", "")?;
                pipe.edit("strip_query = [\"/page\"]\n", "")
            }
        }
    }
}
