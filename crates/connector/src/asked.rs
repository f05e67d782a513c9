//! When a question was put to the brokers. Not here: the questions.

use event::EventTime;

/// Puts a question, and returns its answer with the time that was taken before: the answer holds for that time, and
/// says nothing of what happened between the question and it.
pub fn asked<T>(now: impl Fn() -> EventTime, question: impl FnOnce() -> T) -> (EventTime, T) {
    let asked_at = now();
    (asked_at, question())
}
