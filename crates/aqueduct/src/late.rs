//! The share of late events of a flow, from its ledger. Pure.

use std::collections::BTreeMap;

use event::ledger::Outcome;

/// Of the events that were counted or late, the part that was late; nothing where there is none of either.
pub(crate) fn share(ledger: &BTreeMap<&'static str, u64>) -> Option<f64> {
    let of = |outcome: Outcome| ledger.get(outcome.as_str()).copied().unwrap_or_default();
    let all = of(Outcome::Counted) + of(Outcome::Late);
    (all > 0).then(|| of(Outcome::Late) as f64 / all as f64)
}

/// The message of `status` and `reconcile` about a flow with late events.
pub(crate) fn words(flow: &str, ledger: &BTreeMap<&'static str, u64>) -> Option<String> {
    let late = ledger.get(Outcome::Late.as_str()).copied().filter(|late| *late > 0)?;
    let percent = share(ledger).unwrap_or_default() * 100.0;
    Some(format!(
        "{flow}: {late} events arrived too late to be counted ({percent:.2} % of the counted and late \
         events); a producer has a fast clock or sends later than allowed_lateness (docs/guarantees.md)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_what_could_have_been_counted() {
        let check = |ledger: &[(&'static str, u64)], expected| {
            let ledger = ledger.iter().copied().collect();
            assert_eq!(share(&ledger), expected, "{ledger:?}");
            assert_eq!(words("f", &ledger).is_some(), expected.is_some_and(|share| share > 0.0));
        };
        check(&[], None);
        check(&[("ignored", 5)], None);
        check(&[("counted", 3), ("ignored", 5)], Some(0.0));
        check(&[("counted", 3), ("late", 1), ("rejected", 9)], Some(0.25));
    }
}
