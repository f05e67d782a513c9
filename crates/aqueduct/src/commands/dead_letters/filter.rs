//! Which rejected records are meant.

use std::sync::Arc;

use clap::ValueEnum as _;
use event::EventTime;
use writer::Letters;

use crate::{errors::WrongUsage, global};

/// The options that choose records.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Filter {
    /// Only records of this Kafka topic
    #[arg(long, value_name = "TOPIC")]
    pub(super) topic: Option<String>,
    /// Only records of this partition
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partition: Option<i32>,
    /// Only records that this stage rejected last
    #[arg(long, value_name = "STAGE")]
    pub(super) stage: Option<Stage>,
    /// Only records with this reason; may be repeated
    #[arg(long = "reason", value_name = "REASON")]
    pub(super) reasons: Vec<String>,
    /// Only records whose reason is about this pointer
    #[arg(long, value_name = "POINTER")]
    pub(super) pointer: Option<String>,
    /// Only records that were rejected at this time or later
    #[arg(long, value_name = "TIME", value_parser = global::time)]
    pub(super) from: Option<EventTime>,
    /// Only records that were rejected before this time
    #[arg(long, value_name = "TIME", value_parser = global::time)]
    pub(super) to: Option<EventTime>,
}

/// What rejected a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Stage {
    /// Nothing was published
    Connector,
    /// It was published, and a flow could not use it
    Processor,
    /// A row that its table refused; such rows cannot be redriven
    Writer,
}

impl Filter {
    /// Rejects what can match nothing. `topics` are those of `[kafka]`.
    pub(super) fn check(&self, topics: &[Arc<str>]) -> Result<(), WrongUsage> {
        if let Some(topic) =
            self.topic.as_ref().filter(|topic| !topics.iter().any(|known| **known == ***topic))
        {
            let known = topics.join(", ");
            return Err(WrongUsage(format!(
                "--topic {topic}: not among kafka.topics; expected one of {known}"
            )));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(WrongUsage(format!("--from {from} is not before --to {to}")));
        }
        Ok(())
    }

    /// Whether the table is needed: the state knows topics, partitions and offsets only.
    pub(super) fn needs_table(&self) -> bool {
        let Self { topic: _, partition: _, stage, reasons, pointer, from, to } = self;
        stage.is_some() || !reasons.is_empty() || pointer.is_some() || from.is_some() || to.is_some()
    }

    /// The lines of the table.
    pub(super) fn letters(&self, limit: usize) -> Letters {
        Letters {
            topic: self.topic.clone(),
            partition: self.partition,
            stage: self.stage.and_then(|stage| Some(stage.to_possible_value()?.get_name().to_owned())),
            reasons: self.reasons.clone(),
            pointer: self.pointer.clone(),
            from: self.from,
            to: self.to,
            after: None,
            limit,
        }
    }

    /// Whether a partition is meant.
    pub(super) fn takes(&self, topic: &str, partition: i32) -> bool {
        self.topic.as_ref().is_none_or(|wanted| wanted == topic)
            && self.partition.is_none_or(|wanted| wanted == partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_nothing_is_wrong_usage() {
        let topics: [Arc<str>; 1] = ["events".into()];
        let check = |filter: Filter| filter.check(&topics).is_ok();
        let none = Filter::default();
        assert!(check(Filter { topic: Some("events".to_owned()), ..none.clone() }));
        assert!(!check(Filter { topic: Some("event".to_owned()), ..none.clone() }));
        let times =
            |from, to| Filter { from: Some(EventTime(from)), to: Some(EventTime(to)), ..none.clone() };
        assert!(check(times(1, 2)) && !check(times(2, 2)));
    }
}
