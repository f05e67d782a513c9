//! Bodies of version 1, which release 0.1.0 wrote: rows in postcard, without the names of their columns.
//!
//! Such a body can wait in the state of a processor that is upgraded. The types here are those of that release and never
//! change.

use std::sync::Arc;

use event::{EventTime, Key};
use flow::{
    append::{Body, Rows, Table},
    row::{self, Cell, Column, FlowTable, Kind, Pane, Row, Value},
    window::Window,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::body;
use crate::{
    WriterError,
    schema::{self, Target},
};

pub(super) const VERSION: u8 = 1;
