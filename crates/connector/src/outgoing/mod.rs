//! What `[pubsub]` says about single records: whether a record is published, to which topic, and in which order.
//!
//! | module | contents |
//! |---|---|
//! | [`filter`] | the events that are published |
//!
//! [`crate::anonymise::Anonymiser`] applies both sides of it, so that every command that shows what would be published
//! agrees with the connector.

mod filter;

use pubsub::PubSubSettings;

pub(crate) use filter::Filter;

/// The compiled rules; one for each thread. By default every event is published.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    pub(crate) filter: Option<Filter>,
}

impl Outgoing {
    /// The rules of the section.
    pub fn new(settings: &PubSubSettings) -> Self {
        let filter = settings.filter.as_ref().and_then(|filter| filter.resolve());
        Self { filter: filter.map(Filter::new) }
    }
}
