//! Runs many seeds of a scenario. For a failing seed it finds a shorter plan that also fails, and prints its log.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    dice::Dice,
    plan::Plan,
    world::{Ended, World},
};

/// Maximum number of runs for shrinking.
const ATTEMPTS: usize = 400;
/// Number of lines of the log that are printed.
const LINES: usize = 60;

/// Runs a scenario over its seeds; panics with the log of the first failure.
pub(crate) fn check(name: &str, scenario: fn(Dice) -> Plan, seeds: u64) {
    let seeds = number("AQUEDUCT_SEEDS").unwrap_or(seeds);
    let one = number("AQUEDUCT_SEED");
    let range = one.map_or(0..seeds, |seed| seed..seed + 1);
    let (mut failed, mut first, mut counted) = (0u64, None, 0);
    // Only counts failures.
    let goes_on = std::env::var_os("AQUEDUCT_COUNT").is_some();
    for seed in range.clone() {
        let run = || World::new(scenario(Dice(seed)), seed, false).run();
        let ended = if goes_on { or_panicked(run) } else { run() };
        counted += ended.counted;
        if let Some(wrong) = ended.wrong {
            failed += 1;
            first.get_or_insert((seed, wrong));
            if !goes_on {
                break;
            }
        }
    }
    let Some((seed, wrong)) = first else {
        assert!(counted > 0 || scenario(Dice(0)).config.is_inexact, "{name} counts nothing");
        return;
    };
    if goes_on {
        panic!("{name}: {failed} of {} seeds fail; seed {seed}: {wrong}", range.count());
    }
    let plan = shrink(scenario(Dice(seed)), seed);
    let ended = World::new(plan.clone(), seed, true).run();
    panic!("{}", story(name, seed, &plan, &ended));
}

/// A panic is a failure like any other.
fn or_panicked(run: impl FnOnce() -> Ended) -> Ended {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let text = message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let wrong = Some(format!("it panics: {}", text.unwrap_or_default()));
        Ended { wrong, story: Vec::new(), counted: 0 }
    })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn fails(plan: &Plan, seed: u64) -> bool {
    World::new(plan.clone(), seed, false).run().wrong.is_some()
}

/// Removes steps, first half of them and finally single ones, while the run still fails.
fn shrink(mut plan: Plan, seed: u64) -> Plan {
    let mut size = plan.steps.len().div_ceil(2).max(1);
    let mut attempts = 0;
    loop {
        let mut at = 0;
        let before = plan.steps.len();
        while at < plan.steps.len() && attempts < ATTEMPTS {
            let mut shorter = plan.clone();
            shorter.steps.drain(at..(at + size).min(plan.steps.len()));
            attempts += 1;
            if fails(&shorter, seed) {
                plan = shorter;
            } else {
                at += size;
            }
        }
        if attempts >= ATTEMPTS || (size == 1 && plan.steps.len() == before) {
            return plan;
        }
        size = (size / 2).max(1);
    }
}

fn story(name: &str, seed: u64, plan: &Plan, ended: &Ended) -> String {
    let from = ended.story.len().saturating_sub(LINES);
    format!(
        "scenario {name}, seed {seed}: {}\n{:#?}\nafter leaving out what it does not need, {} steps are left:\n{}\n",
        ended.wrong.as_deref().unwrap_or("it fails only in company"),
        plan.config,
        plan.steps.len(),
        ended.story[from..].join("\n")
    )
}
