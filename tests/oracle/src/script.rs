//! The steps of a case: events, each step with a watermark at its end, and checkpoints.
//!
//! The cases of one script share steps and settings, but have their own events, kind of time and out-of-orderness, so
//! that Beam runs them in one pipeline.

use counting::dice::Dice;
use flow::TimeKind;
use serde::{Serialize, Serializer, ser::SerializeTuple as _};

use crate::settings::Settings;

/// The end of a step.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Step {
    /// The processor's time.
    pub(crate) now: i64,
    /// The watermark after its events.
    pub(crate) watermark: i64,
    /// A checkpoint follows: late panes fire, and due early ones.
    pub(crate) checkpoint: bool,
    /// The processor crashes after the checkpoint, and another one continues.
    pub(crate) restart: bool,
}

/// An event by the flow's own time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) step: usize,
    pub(crate) time: i64,
    pub(crate) key: Option<i64>,
    pub(crate) kind: &'static str,
    /// In hundredths.
    pub(crate) price: i64,
    pub(crate) user: i64,
}

/// Events with the settings of their case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) time: TimeKind,
    pub(crate) out_of_orderness: i64,
    /// In order of arrival.
    pub(crate) events: Vec<Event>,
}

/// After all events, so that none is in the future.
const NOW: i64 = 4_000_000_000_000;

/// The steps of a script; the last one ends every window.
pub(crate) fn steps(settings: &Settings, dice: &mut Dice) -> Vec<Step> {
    let mut watermark = match dice.between(0, 3) {
        0 => 0,
        1 => -dice.between(0, 40),
        2 => -dice.between(0, 3_000_000_000 / settings.unit),
        _ => dice.between(0, 1_700_000_000_000 / settings.unit),
    } * settings.unit;
    let mut now = NOW;
    let mut steps = Vec::new();
    for number in 0..dice.between(4, 12) {
        watermark += if number == 0 { 0 } else { advance(settings, dice) };
        now += dice.between(100, 2_500);
        // For sessions, every step; otherwise a session that a late event extends twice has two panes in Beam.
        let checkpoint = dice.percent(65) || settings.is_session;
        let restart = checkpoint && dice.percent(8);
        steps.push(Step { now, watermark, checkpoint, restart });
    }
    let end = watermark + 8 * (settings.size + settings.step()) + settings.allowed_lateness;
    steps.push(Step { now: now + 10_000, watermark: end, checkpoint: true, restart: false });
    steps
}

fn advance(settings: &Settings, dice: &mut Dice) -> i64 {
    let most = match dice.between(0, 19) {
        0..=2 => return 0,
        3..=9 => settings.step(),
        10..=16 => settings.size,
        _ => 2 * settings.size + settings.allowed_lateness,
    };
    on_grid(dice.between(0, most), settings, dice)
}

/// Most times are multiples of the unit, where boundaries are.
fn on_grid(time: i64, settings: &Settings, dice: &mut Dice) -> i64 {
    if dice.percent(75) { time - time.rem_euclid(settings.unit) } else { time }
}

/// One case of a script.
pub(crate) fn case(settings: &Settings, steps: &[Step], dice: &mut Dice) -> Case {
    let time = dice.pick(&[
        TimeKind::Event,
        TimeKind::Event,
        TimeKind::Event,
        TimeKind::Event,
        TimeKind::Kafka,
        TimeKind::Processing,
    ]);
    let out_of_orderness =
        if dice.percent(30) { 0 } else { dice.between(0, 3 * settings.size / settings.unit) * settings.unit };
    let mut events = Vec::new();
    let reach = settings.size + settings.step() + settings.allowed_lateness;
    for (number, step) in steps.iter().enumerate() {
        let before = if number == 0 { step.watermark - settings.size } else { steps[number - 1].watermark };
        let newest = step.watermark + out_of_orderness;
        // The last step only closes open windows.
        let last = number + 1 == steps.len();
        let mut arriving: Vec<Event> = (0..if last { 0 } else { dice.between(0, 6) })
            .map(|_| {
                let (low, high) = if dice.percent(45) { (before - reach, before) } else { (before, newest) };
                let time = on_grid(dice.between(low.min(high), high), settings, dice).min(newest);
                event(number, time, dice)
            })
            .collect();
        if number == 0 || step.watermark > before {
            // The newest event so far, which determines the watermark, wherever it is in its step.
            let kind = if last { "other" } else { dice.pick(&["other", "view", "click"]) };
            let mover = Event { kind, ..event(number, newest, dice) };
            arriving.insert(dice.between(0, arriving.len() as i64) as usize, mover);
        }
        events.extend(arriving);
    }
    Case { time, out_of_orderness, events }
}

/// An event of a random key and kind.
pub(crate) fn event(step: usize, time: i64, dice: &mut Dice) -> Event {
    let key = dice.percent(88).then(|| dice.between(0, 2));
    let kind = dice.pick(&["view", "view", "view", "view", "click", "click", "click", "both", "other"]);
    let (price, user) = (dice.between(-300, 9_999), dice.between(1, 12));
    Event { step, time, key, kind, price, user }
}

impl Event {
    /// The event as JSON, with the time that `[events]` reads.
    pub(crate) fn payload(&self, time: i64) -> String {
        let key = self.key.map_or("null".to_owned(), |key| format!("\"{key}\""));
        let Self { kind, user, price, .. } = self;
        let (sign, price) = (if *price < 0 { "-" } else { "" }, price.abs());
        let (whole, cents) = (price / 100, price % 100);
        format!(r#"{{"t":{time},"p":{key},"k":"{kind}","x":{sign}{whole}.{cents:02},"u":"u{user}"}}"#)
    }
}

/// `[step, time, key, kind, price, user]`, compact because there are many.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(6)?;
        tuple.serialize_element(&self.step)?;
        tuple.serialize_element(&self.time)?;
        tuple.serialize_element(&self.key.map(|key| key.to_string()))?;
        tuple.serialize_element(self.kind)?;
        tuple.serialize_element(&self.price)?;
        tuple.serialize_element(&self.user)?;
        tuple.end()
    }
}
