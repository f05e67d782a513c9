//! Errors of every command, and their text.

use std::error::Error;

/// Options that contradict each other or the existing files; the text names what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUsage(pub(crate) String);

/// One error and its causes on one line.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push_str(": ");
        text.push_str(&cause);
    }
    text
}

/// The causes that add information: some libraries repeat their cause in their own text.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut said = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !said.contains(&words) {
            causes.push(words.clone());
        }
        said = words;
        next = cause.source();
    }
    causes
}
