//! The order of arrival: random steps, expanded with the redelivery of everything that was not acknowledged.

use crate::{
    case::{Case, Content, Gap, Record, Redrive, Step},
    dice::Dice,
};

/// The fully determined steps of a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The data message of a record at an offset.
    Data(u32, u64),
    /// The message of a redrive, with the record's offset.
    Redrive(Redrive, u64),
    /// A mark that covers records at their offsets.
    Mark(Vec<(u32, u64)>),
    /// Watermarks move.
    Tick,
    /// A checkpoint with a part of this many bytes.
    Save(usize),
    /// A restart from the last checkpoint, with an edition of the flows.
    Restore(usize),
    /// The end of a partition.
    EndOf(usize),
    /// The end of all topics, after which every window is final.
    End,
}

/// Random steps over records.
pub(crate) fn roll(records: &[Record], editions: usize, dice: &mut Dice) -> Vec<Step> {
    let disorder = dice.pick(&[0, 0, 2, 5, 1_000]);
    let mut order: Vec<(i64, usize)> =
        (0..records.len()).map(|at| (at as i64 + dice.between(0, disorder), at)).collect();
    order.sort_unstable();
    let ticks = dice.pick(&[100, 60, 20]);
    let saves = dice.pick(&[0, 15, 40]);
    let crashes = if editions > 1 { 10 } else { dice.pick(&[0, 0, 6, 12]) };
    // From one entry to all of them.
    let budgets = dice.pick(&[[1, 1, 1], [1, 60, 200], [200, 1_000, 1 << 20]]);
    let redrives = dice.pick(&[0, 8, 30]);
    let mut number = 0_u64;
    let mut steps = Vec::new();
    if dice.percent(90) {
        steps.push(Step::Mark(Vec::new()));
    }
    for (at, record) in order.iter().map(|(_, at)| &records[*at]).enumerate() {
        if matches!(record.content, Content::Gap(_)) {
            steps.push(Step::Mark(vec![record.number]));
        } else {
            // A mark reports it as lost to retention, and then its message arrives after all.
            if dice.percent(3) {
                steps.push(Step::Mark(vec![record.number]));
            }
            steps.push(Step::Data(record.number));
        }
        let earlier = &records[order[dice.index(at + 1)].1];
        if dice.percent(6) && !matches!(earlier.content, Content::Gap(_)) {
            steps.push(Step::Data(earlier.number));
        }
        if dice.percent(redrives) {
            // Any record that has a message or was rejected by the connector; most of them are not rejected.
            let is_candidate =
                |record: &Record| !matches!(record.content, Content::Gap(gap) if gap != Gap::Rejected);
            let arrived: Vec<&Record> = order[..=at]
                .iter()
                .map(|(_, at)| &records[*at])
                .filter(|record| is_candidate(record))
                .collect();
            let refused: Vec<&Record> = arrived
                .iter()
                .copied()
                .filter(|record| !matches!(record.content, Content::Object(_)))
                .collect();
            let among = if dice.percent(60) && !refused.is_empty() { &refused } else { &arrived };
            let events: Vec<&Record> =
                records.iter().filter(|record| !matches!(record.content, Content::Gap(_))).collect();
            if !among.is_empty() && !events.is_empty() {
                let record = among[dice.index(among.len())];
                let is_event = !matches!(record.content, Content::Gap(_));
                let other =
                    if is_event && dice.percent(40) { record } else { events[dice.index(events.len())] };
                // A killed redrive publishes some records again with its number.
                number += u64::from(dice.percent(60));
                let number = number.saturating_sub(dice.pick(&[0, 0, 0, 1])).max(1);
                steps.push(Step::Redrive(Redrive { record: record.number, event_of: other.number, number }));
            }
        }
        if dice.percent(ticks) {
            steps.push(Step::Tick);
        }
        if dice.percent(saves) {
            steps.push(Step::Save(dice.pick(&budgets)));
        }
        if dice.percent(crashes) {
            steps.push(Step::Crash(dice.index(editions)));
        }
        if dice.percent(4) {
            steps.push(Step::Mark(Vec::new()));
        }
    }
    steps
}

/// The steps of a case with redeliveries, the records that no step delivered, and the end.
pub(crate) fn expand(case: &Case) -> Vec<Action> {
    let offsets = case.offsets();
    let message = |step: &Step| match step {
        Step::Data(number) => Some(Action::Data(*number, offsets[number])),
        Step::Mark(numbers) => {
            Some(Action::Mark(numbers.iter().map(|number| (*number, offsets[number])).collect()))
        }
        Step::Redrive(redrive) => Some(Action::Redrive(*redrive, offsets[&redrive.record])),
        Step::Tick | Step::Save(_) | Step::Crash(_) => None,
    };
    let mut actions = Vec::new();
    let mut unacknowledged: Vec<Action> = Vec::new();
    // Messages, and the step before which each is redelivered.
    let mut waiting: Vec<(usize, Action)> = Vec::new();
    for (at, step) in case.steps.iter().enumerate() {
        let (arriving, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(due, _)| *due <= at);
        waiting = later;
        let arriving = arriving.into_iter().map(|(_, message)| message).chain(message(step));
        for message in arriving {
            unacknowledged.push(message.clone());
            actions.push(message);
        }
        match step {
            Step::Data(_) | Step::Mark(_) | Step::Redrive(_) => {}
            Step::Tick => actions.push(Action::Tick),
            Step::Save(budget) => {
                actions.push(Action::Save(*budget));
                unacknowledged.clear();
            }
            Step::Crash(edition) => {
                actions.push(Action::Restore(*edition));
                // In another order than before: each message has its own delay.
                let delayed = std::mem::take(&mut unacknowledged).into_iter().enumerate();
                waiting.extend(delayed.map(|(n, message)| (at + 1 + (7 * n + at) % 5, message)));
            }
        }
    }
    actions.extend(waiting.into_iter().map(|(_, message)| message));
    let delivered = |number: u32| case.steps.iter().any(|step| matches!(step, Step::Data(n) if *n == number));
    let marked =
        |number: u32| case.steps.iter().any(|step| matches!(step, Step::Mark(n) if n.contains(&number)));
    for Record { number, content, .. } in &case.records {
        match content {
            Content::Gap(_) if !marked(*number) => {
                actions.push(Action::Mark(vec![(*number, offsets[number])]));
            }
            Content::Object(_) | Content::Text(_) if !delivered(*number) => {
                actions.push(Action::Data(*number, offsets[number]));
            }
            Content::Gap(_) | Content::Object(_) | Content::Text(_) => {}
        }
    }
    actions.extend([Action::Tick, Action::End]);
    actions
}
