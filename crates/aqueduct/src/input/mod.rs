//! Lines of files, plain or compressed, and of standard input.

mod ahead;

mod open;

mod lines;

pub use lines::{Line, Lines, MAX_LINE};
pub use open::Input;
