//! The vocabulary that all crates share: times, positions, ranges, marks, keys, the ledger, and reading the JSON of an
//! event.
//!
//! Pure: values in, values out. There is no runtime, SDK, clock or I/O; the caller passes the time.
//!
//! | module | contents |
//! |---|---|
//! | [`units`] | durations and byte sizes as users write them |
//! | [`time`] | points in time, milliseconds since the epoch |
//! | [`calendar`] | days and their dates |
//! | [`position`] | the position of a record in Kafka |
//! | [`ranges`] | sets of offsets as disjoint half-open ranges |
//! | [`mark`] | the small messages that account for offsets without an event |
//! | [`pointer`] | the path to a value in an event |
//! | [`json`] | a strict scanner over the bytes of one event |
//! | [`pick`] | reads several fields of an event in one pass |
//! | [`matching`] | conditions on the fields of an event |
//! | [`shape`] | settings with an order, or one of two shapes |
//! | [`events`] | the `[events]` section: where the time and the ID are |
//! | [`wire`] | names of the attributes and topics that connector and processor share |
//! | [`key`] | the values of a row's `by` columns |
//! | [`ledger`] | the outcome of every offset |

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

pub mod matching;

pub mod shape;

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
