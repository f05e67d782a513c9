//! The rules of `[pubsub]` for single records: whether a record is published, to which topic, and in which order.
//!
//! | module | contents |
//! |---|---|
//! | [`filter`] | the events that are published |
//! | [`lane`] | the topic and the ordering key of an event |
//!
//! [`crate::anonymise::Anonymiser`] applies both sides of it, so that every command that shows what would be published
//! agrees with the connector.

mod filter;
mod lane;

use pubsub::PubSubSettings;

pub(crate) use filter::Filter;
pub use lane::Lane;
pub(crate) use lane::Lanes;

/// The compiled rules; one for each thread. By default every event is published.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    pub(crate) filter: Option<Filter>,
    pub(crate) lanes: Lanes,
}

impl Outgoing {
    /// The rules of the section.
    pub fn new(settings: &PubSubSettings) -> Self {
        let filter = settings.filter.as_ref().and_then(|filter| filter.resolve());
        Self { filter: filter.map(Filter::new), lanes: Lanes::new(settings) }
    }
}
