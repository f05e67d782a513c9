//! Whether the ledger of a flow balances.

use super::Health;
use crate::{
    facts::{Connector, Flow, Processor},
    words::number,
};

/// Whether more records were published and refused than were read.
pub fn records(connector: &Connector) -> Health {
    if !connector.is_known {
        return Health::grey("no records yet");
    }
    let done = connector.published + connector.refused();
    if done > connector.records {
        return Health::red(format!(
            "{} records were read and {} are published or rejected: a bug, please report it",
            number(connector.records),
            number(done)
        ));
    }
    if done < connector.records {
        return Health::green(format!("balanced, with {} in flight", number(connector.records - done)));
    }
    Health::green("balanced: every record is published or rejected")
}

/// Whether every offset is accounted for once.
pub fn ledger(processor: &Processor, flow: &Flow) -> Health {
    if processor.told_ms.is_none() {
        return Health::grey("no offsets yet");
    }
    if processor.has_unpositioned {
        return Health::green(
            "another producer fills the topic: its messages have no Kafka offsets to balance with",
        );
    }
    let sum = flow.total + flow.before;
    if sum != processor.accounted {
        return Health::red(format!(
            "{} offsets are accounted for and {} are in the ledger: a bug, please report it",
            number(processor.accounted),
            number(sum)
        ));
    }
    let lost =
        flow.ledger.iter().find(|outcome| outcome.outcome == "lost").map_or(0, |outcome| outcome.offsets);
    if lost > 0 {
        return Health::red(format!(
            "balanced, but {} lost: deleted by retention before they were read, or published and not received within \
             hole_limit; `aqueduct reconcile` lists them",
            if lost == 1 { "one offset is".to_owned() } else { format!("{} offsets are", number(lost)) }
        ));
    }
    Health::green("balanced: every offset has one outcome")
}
