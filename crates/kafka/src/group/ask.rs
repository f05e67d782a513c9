//! The time of a question to the brokers.

use event::EventTime;

/// Puts a question, and returns its answer with the time that was read before. The answer holds for that time: it does not
/// cover what happened between the question and the answer.
///
/// ```
/// let (asked_at, answer) = kafka::ask::ask(|| event::EventTime(7), || "an answer");
/// assert_eq!((asked_at.0, answer), (7, "an answer"));
/// ```
pub fn ask<T>(now: impl Fn() -> EventTime, question: impl FnOnce() -> T) -> (EventTime, T) {
    let asked_at = now();
    (asked_at, question())
}
