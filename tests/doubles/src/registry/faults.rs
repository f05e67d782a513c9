//! What goes wrong.

use std::time::Duration;

/// What a request gets instead of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, with an error as the registry reports it.
    Status(u16),
    /// Status 429, and the request to come back after these seconds.
    Busy(u64),
    /// A page in HTML, with this status.
    Page(u16),
    /// This text with status 200.
    Text(String),
    /// A body of this many bytes with status 200.
    Huge(usize),
    /// The answer, but about the schema with the next ID.
    Another,
    /// The answer after a while.
    Late(Duration),
    /// No answer while the server runs.
    Silent,
}
