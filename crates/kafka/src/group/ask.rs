//! The time of a request to the brokers.

use event::EventTime;

/// Sends a request, and returns its answer with the time before the request. The answer is valid for that time: it does
/// not cover what happened between request and answer.
///
/// ```
/// let (asked_at, answer) = kafka::ask::ask(|| event::EventTime(7), || "an answer");
/// assert_eq!((asked_at.0, answer), (7, "an answer"));
/// ```
pub fn ask<T>(now: impl Fn() -> EventTime, question: impl FnOnce() -> T) -> (EventTime, T) {
    let asked_at = now();
    (asked_at, question())
}
