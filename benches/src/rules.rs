//! What the connector does with an event while it is measured.

use anyhow::Result;
use clap::ValueEnum;
use tests::pipe::Pipe;

/// Which rules the connector has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rules {
    /// One id and the Kafka key become pseudonyms and one member is removed: what MaskField in Kafka Connect is beside.
    OneId,
    /// As a shop has it: two ids and those in a list, one member removed, a query stripped.
    Shop,
}

impl Rules {
    /// Gives a pipe these rules.
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
