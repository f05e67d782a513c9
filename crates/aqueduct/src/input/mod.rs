//! Lines of files, plain or compressed, and of standard input.

mod ahead;

mod open;

mod lines;

pub(crate) use lines::Line;
pub(crate) use open::Input;
