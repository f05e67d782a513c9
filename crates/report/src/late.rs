//! The share of late events of a flow, from its ledger. Pure.

use event::{Ledger, ledger::Outcome};

/// The share of late events among counted and late ones; `None` if there are neither.
pub fn share(ledger: &Ledger) -> Option<f64> {
    let all = ledger.get(Outcome::Counted) + ledger.get(Outcome::Late);
    (all > 0).then(|| ledger.get(Outcome::Late) as f64 / all as f64)
}

/// The message of `status` and `reconcile` about a flow with late events.
pub fn words(flow: &str, ledger: &Ledger) -> Option<String> {
    let late = Some(ledger.get(Outcome::Late)).filter(|late| *late > 0)?;
    let percent = share(ledger).unwrap_or_default() * 100.0;
    Some(format!(
        "{flow}: {late} events were too late ({percent:.2} % of counted and late events); a producer's clock is ahead, or it sends later than allowed_lateness (docs/guarantees.md)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_countable_events() {
        let check = |outcomes: &[(Outcome, u64)], expected| {
            let mut ledger = Ledger::default();
            outcomes.iter().for_each(|(outcome, offsets)| ledger.add(*outcome, *offsets));
            assert_eq!(share(&ledger), expected, "{ledger:?}");
            assert_eq!(words("f", &ledger).is_some(), expected.is_some_and(|share| share > 0.0));
        };
        check(&[], None);
        check(&[(Outcome::Ignored, 5)], None);
        check(&[(Outcome::Counted, 3), (Outcome::Ignored, 5)], Some(0.0));
        check(&[(Outcome::Counted, 3), (Outcome::Late, 1), (Outcome::Rejected, 9)], Some(0.25));
    }
}
