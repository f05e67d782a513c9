//! The vocabulary of Aqueduct: what an event, a position, a window, a mark and a row are.
//!
//! Pure: bytes and values in, values out. No runtime, no SDK, no clock and no I/O; whoever needs
//! the time passes it in.
//!
//! | module | idea |
//! |---|---|
//! | [`units`] | durations and byte sizes as people write them |
//! | [`time`] | points in time, milliseconds since the epoch |
//! | [`calendar`] | days and their dates |
//! | [`position`] | where a record stands in Kafka |
//! | [`ranges`] | sets of offsets as disjoint half-open ranges |
//! | [`mark`] | the small messages that account for offsets without an event |
//! | [`pointer`] | where a value stands in an event |
//! | [`json`] | a strict reader over the bytes of one event |
//! | [`pick`] | looks several places of an event up in one pass |
//! | [`events`] | the `[events]` section: where time and id stand |
//! | [`wire`] | names of the attributes and topics that connector and processor share |
//! | [`key`] | the values of a row's `by` columns |
//! | [`ledger`] | what became of every offset |

#![forbid(unsafe_code)]

pub mod units;

pub mod time;

pub mod calendar;

pub mod position;

pub mod ranges;

pub mod mark;

pub mod pointer;

pub mod json;

pub mod number;
pub mod pick;

pub mod events;

pub mod wire;

pub mod key;

pub mod ledger;

pub use events::EventsSettings;
pub use key::Key;
pub use ledger::Ledger;
pub use mark::Mark;
pub use pick::{Picker, Value};
pub use pointer::{Pattern, Pointer};
pub use position::{Incarnation, Partition, Position};
pub use ranges::Ranges;
pub use time::EventTime;
pub use units::{ByteSize, Millis};
