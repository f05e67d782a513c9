//! Whether a process is ready, with the reasons if it is not; and whether it is alive.
//!
//! Conditions have names (`kafka`, `pubsub`, `checkpoints`). A condition is met once it was reported so and, if it has
//! a limit, while progress was reported within that limit: a pipeline that is stalled is not ready, even if it is
//! connected. Without any condition a process is not ready.
//!
//! A process is alive while its loop turns. One that is not ready keeps working; one that is not alive has to be
//! restarted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

use crate::metrics::{Described, Metrics};

/// Whether each condition is met.
pub const READY: Described = Described::gauge(
    "aqueduct_ready",
    "0 or 1",
    &["condition"],
    "1 if this condition of `/readyz` is met, otherwise 0; `/readyz` has the reason",
);

/// A loop that has not turned for this long is considered dead.
pub const STALL_LIMIT: Duration = Duration::from_secs(60);

/// The conditions of a process, shared by cloning. Passes the clock to [`Conditions`].
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    shared: Arc<Mutex<Conditions>>,
}

/// The conditions by name. Pure: the time is an argument.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    by_name: BTreeMap<&'static str, Condition>,
    /// When the loop last turned.
    beat: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Condition {
    state: State,
    progress: Option<Progress>,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Unreported,
    Good,
    /// Met, with a remark.
    Noted(String),
    Bad(String),
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    limit: Duration,
    last: Instant,
}

/// The state of all conditions, for humans and probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every condition is met.
    pub ready: bool,
    /// Each condition, by name.
    pub conditions: Vec<ConditionReport>,
}

/// The state of one condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConditionReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it is met.
    pub ready: bool,
    /// Whether it was reported at all.
    #[serde(skip)]
    pub is_reported: bool,
    /// Why it is not met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A remark on a condition that is met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Readiness {
    /// Declares conditions that must be reported before the process is ready.
    pub fn expect(&self, names: &[&'static str]) {
        let mut conditions = self.lock();
        names.iter().for_each(|name| conditions.expect(name));
    }

    /// Reports a condition: met, or the reason why not (for humans; never a value from the data).
    pub fn set(&self, name: &'static str, state: Result<(), String>) {
        self.lock().set(name, state);
    }

    /// Reports a condition that is met, with a remark: a standby is ready, too.
    pub fn note(&self, name: &'static str, note: &str) {
        self.lock().note(name, note);
    }

    /// From now on this condition has to report progress at least every `limit`.
    pub fn watch(&self, name: &'static str, limit: Duration) {
        self.lock().watch(name, limit, Instant::now());
    }

    /// A watched component did some work, or found that there is none: the condition is met.
    pub fn progress(&self, name: &'static str) {
        self.lock().progress(name, Instant::now());
    }

    /// The current state.
    pub fn report(&self) -> Report {
        self.lock().report(Instant::now())
    }

    /// The loop of the process has turned.
    pub fn beat(&self) {
        self.lock().beat(Instant::now());
    }

    /// How long the loop has not turned, if that is longer than [`STALL_LIMIT`]. A process whose loop has not started
    /// yet is alive.
    pub fn stillness(&self) -> Option<Duration> {
        self.lock().stillness(Instant::now())
    }

    /// Exports the conditions as [`READY`].
    pub fn show(&self, metrics: &Metrics) {
        let readiness = self.clone();
        metrics.measured(&READY, move || {
            let conditions = readiness.report().conditions;
            let sample =
                |c: ConditionReport| (vec![("condition", c.name.to_owned())], f64::from(u8::from(c.ready)));
            conditions.into_iter().map(sample).collect()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Conditions> {
        // A poisoned lock is harmless: each change is a single assignment.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conditions {
    /// See [`Readiness::expect`].
    pub fn expect(&mut self, name: &'static str) {
        self.by_name.entry(name).or_default();
    }

    /// See [`Readiness::set`].
    pub fn set(&mut self, name: &'static str, state: Result<(), String>) {
        self.by_name.entry(name).or_default().state = match state {
            Ok(()) => State::Good,
            Err(reason) => State::Bad(reason),
        };
    }

    /// See [`Readiness::note`].
    pub fn note(&mut self, name: &'static str, note: &str) {
        self.by_name.entry(name).or_default().state = State::Noted(note.to_owned());
    }

    /// See [`Readiness::beat`].
    pub fn beat(&mut self, now: Instant) {
        self.beat = Some(now);
    }

    /// See [`Readiness::stillness`].
    pub fn stillness(&self, now: Instant) -> Option<Duration> {
        let silence = now.saturating_duration_since(self.beat?);
        (silence > STALL_LIMIT).then_some(silence)
    }

    /// See [`Readiness::watch`].
    pub fn watch(&mut self, name: &'static str, limit: Duration, now: Instant) {
        self.by_name.entry(name).or_default().progress = Some(Progress { limit, last: now });
    }

    /// See [`Readiness::progress`].
    pub fn progress(&mut self, name: &'static str, now: Instant) {
        let condition = self.by_name.entry(name).or_default();
        condition.state = State::Good;
        if let Some(progress) = &mut condition.progress {
            progress.last = now;
        }
    }

    /// See [`Readiness::report`].
    pub fn report(&self, now: Instant) -> Report {
        let conditions: Vec<_> =
            self.by_name.iter().map(|(name, condition)| condition.report(name, now)).collect();
        let ready = !conditions.is_empty() && conditions.iter().all(|condition| condition.ready);
        Report { ready, conditions }
    }
}

impl Condition {
    fn report(&self, name: &'static str, now: Instant) -> ConditionReport {
        let reason = self.reason(now);
        let note = match &self.state {
            State::Noted(note) if reason.is_none() => Some(note.clone()),
            _ => None,
        };
        let is_reported = !matches!(self.state, State::Unreported) || self.stall(now).is_some();
        ConditionReport { name, ready: reason.is_none(), is_reported, reason, note }
    }

    fn reason(&self, now: Instant) -> Option<String> {
        if let State::Bad(reason) = &self.state {
            return Some(reason.clone());
        }
        let unreported =
            || matches!(self.state, State::Unreported).then(|| "has not reported yet".to_owned());
        self.stall(now).or_else(unreported)
    }

    fn stall(&self, now: Instant) -> Option<String> {
        let Progress { limit, last } = self.progress?;
        let silence = now.saturating_duration_since(last);
        let (seconds, allowed) = (silence.as_secs(), limit.as_secs_f64());
        (silence > limit).then(|| format!("stalled: no progress for {seconds} s (limit {allowed} s)"))
    }
}

impl Report {
    /// The reasons in one line, for a log.
    pub fn reasons(&self) -> String {
        let reasons: Vec<_> = self
            .conditions
            .iter()
            .filter_map(|condition| Some(format!("{}: {}", condition.name, condition.reason.as_ref()?)))
            .collect();
        reasons.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[track_caller]
    fn check(conditions: &Conditions, now: Instant, ready: bool, reasons: &str) {
        let report = conditions.report(now);
        assert_eq!((report.ready, report.reasons().as_str()), (ready, reasons));
    }

    #[test]
    fn nothing_is_ready_before_it_reports() {
        let now = Instant::now();
        let mut conditions = Conditions::default();
        check(&conditions, now, false, "");
        conditions.expect("kafka");
        check(&conditions, now, false, "kafka: has not reported yet");
        conditions.set("kafka", Ok(()));
        check(&conditions, now, true, "");
        conditions.set("pubsub", Err("connection refused".to_owned()));
        check(&conditions, now, false, "pubsub: connection refused");
        conditions.expect("kafka");
        conditions.set("pubsub", Ok(()));
        check(&conditions, now, true, "");
    }

    #[test]
    fn silence_beyond_the_limit_is_a_stall() {
        let start = Instant::now();
        let mut conditions = Conditions::default();
        conditions.watch("pump", LIMIT, start);
        check(&conditions, start, false, "pump: has not reported yet");
        conditions.progress("pump", start);
        check(&conditions, start + LIMIT, true, "");
        let later = start + LIMIT + Duration::from_secs(1);
        check(&conditions, later, false, "pump: stalled: no progress for 11 s (limit 10 s)");
        conditions.progress("pump", later);
        check(&conditions, later + LIMIT, true, "");
        conditions.set("pump", Err("the broker is gone".to_owned()));
        check(&conditions, later, false, "pump: the broker is gone");
    }

    #[test]
    fn a_note_does_not_affect_readiness() {
        let now = Instant::now();
        let mut conditions = Conditions::default();
        conditions.note("state", "standing by");
        check(&conditions, now, true, "");
        assert_eq!(conditions.report(now).conditions[0].note.as_deref(), Some("standing by"));
        conditions.set("state", Ok(()));
        assert_eq!(conditions.report(now).conditions[0].note, None);
    }

    #[test]
    fn a_stalled_loop_is_not_alive() {
        let start = Instant::now();
        let mut conditions = Conditions::default();
        assert_eq!(conditions.stillness(start), None);
        conditions.beat(start);
        assert_eq!(conditions.stillness(start + STALL_LIMIT), None);
        let later = start + STALL_LIMIT + Duration::from_secs(1);
        assert_eq!(conditions.stillness(later), Some(later - start));
        conditions.beat(later);
        assert_eq!(conditions.stillness(later), None);
    }

    #[test]
    fn conditions_are_a_metric() {
        let (readiness, metrics) = (Readiness::default(), Metrics::default());
        readiness.show(&metrics);
        readiness.set("kafka", Ok(()));
        readiness.set("pubsub", Err("away".to_owned()));
        let page = metrics.encode().expect("text");
        assert!(page.contains("aqueduct_ready{condition=\"kafka\"} 1"), "{page}");
        assert!(page.contains("aqueduct_ready{condition=\"pubsub\"} 0"), "{page}");
    }

    #[tokio::test(start_paused = true)]
    async fn shared_conditions_use_the_clock() {
        let readiness = Readiness::default();
        readiness.expect(&["a"]);
        readiness.watch("a", LIMIT);
        readiness.progress("a");
        assert!(readiness.report().ready);
        tokio::time::advance(LIMIT * 2).await;
        assert!(!readiness.clone().report().ready);
    }
}
