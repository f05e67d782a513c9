//! Lines of files, plain or compressed, and of standard input; and the events of Avro object container files.

mod ahead;

mod events;

mod open;

mod lines;

pub(crate) use lines::{BLOCK, Block};
pub(crate) use open::Input;
