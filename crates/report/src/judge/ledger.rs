//! Whether the ledger of a flow balances.

use event::ledger::Outcome;
use processor::view::{Detail, FlowView};

use super::Health;
use crate::{status::Connector, words::number};

/// Whether more records were published, filtered and rejected than were read.
pub(crate) fn records(connector: &Connector) -> Health {
    if !connector.is_known {
        return Health::grey("no records yet");
    }
    let done = connector.done();
    if done > connector.records {
        return Health::red(format!(
            "{} records were read and {} are published, filtered or rejected: a bug, please report it",
            number(connector.records),
            number(done)
        ));
    }
    if done < connector.records {
        return Health::green(format!("balanced, with {} in flight", number(connector.records - done)));
    }
    Health::green("balanced: every record has one outcome")
}

/// Whether the outcomes of a flow add up to the offsets that are accounted for.
pub fn is_balanced(detail: &Detail, flow: &FlowView) -> bool {
    let total = flow.ledger.total() + flow.before;
    // Messages of another producer have no positions: they are in the ledger and nowhere else.
    if detail.has_unpositioned { total >= detail.accounted } else { total == detail.accounted }
}

/// Whether every offset is accounted for once.
pub(crate) fn ledger(detail: &Detail, flow: &FlowView) -> Health {
    if detail.at.is_none() {
        return Health::grey("no offsets yet");
    }
    if !is_balanced(detail, flow) {
        return Health::red(format!(
            "{} offsets are accounted for and {} are in the ledger: a bug, please report it",
            number(detail.accounted),
            number(flow.ledger.total() + flow.before)
        ));
    }
    if detail.has_unpositioned {
        return Health::green(
            "another producer publishes to the topic: its messages have no Kafka offsets to account for",
        );
    }
    let lost = flow.ledger.get(Outcome::Lost);
    if lost > 0 {
        return Health::red(format!(
            "balanced, with {} lost: deleted by retention before they were read, or published and not received within hole_limit; `aqueduct reconcile` lists them",
            if lost == 1 { "one offset is".to_owned() } else { format!("{} offsets are", number(lost)) }
        ));
    }
    Health::green("balanced: every offset has one outcome")
}
