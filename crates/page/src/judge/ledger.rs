//! Whether the ledger of a flow balances.

use super::Health;
use crate::{
    facts::{Connector, Flow, Processor},
    words::number,
};

/// Whether more records were published and refused than were read.
pub fn records(connector: &Connector) -> Health {
    if !connector.is_known {
        return Health::grey("nothing was read yet");
    }
    let done = connector.published + connector.refused();
    if done > connector.records {
        return Health::red(format!(
            "{} records were read and {} are published or refused: a defect, please report it",
            number(connector.records),
            number(done)
        ));
    }
    if done < connector.records {
        return Health::green(format!("it balances, with {} on their way", number(connector.records - done)));
    }
    Health::green("it balances: every record is published or refused")
}

/// Whether every offset is accounted for once.
pub fn ledger(processor: &Processor, flow: &Flow) -> Health {
    if processor.told_ms.is_none() {
        return Health::grey("nothing is counted yet");
    }
    if processor.has_unpositioned {
        return Health::green(
            "some other producer fills the topic: its messages have no offsets to balance against",
        );
    }
    let sum = flow.total + flow.before;
    if sum != processor.accounted {
        return Health::red(format!(
            "{} offsets are accounted for and {} are in the ledger: a defect, please report it",
            number(processor.accounted),
            number(sum)
        ));
    }
    let lost =
        flow.ledger.iter().find(|outcome| outcome.outcome == "lost").map_or(0, |outcome| outcome.offsets);
    if lost > 0 {
        return Health::red(format!(
            "it balances, and {} lost: taken by retention before they were read, or published and not come within \
             hole_limit; `aqueduct reconcile` names them",
            if lost == 1 { "one offset is".to_owned() } else { format!("{} offsets are", number(lost)) }
        ));
    }
    Health::green("it balances: every offset ended as exactly one thing")
}
