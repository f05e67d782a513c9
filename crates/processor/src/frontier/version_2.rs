//! Clocks and tracks as version 2 of the state contains them, without the publish time. See [`crate::saved`].

use std::collections::BTreeMap;

use event::{EventTime, Ranges, mark::LogEnd};
use serde::Deserialize;

use super::{
    Clocks,
    track::{Island, Track},
};

#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Clocks2 {
    event: EventTime,
    kafka: EventTime,
}

#[derive(Deserialize)]
pub(crate) struct Track2 {
    prefix: u64,
    clocks: Clocks2,
    data_end: u64,
    islands: BTreeMap<u64, Island2>,
    lost: Ranges,
    before: Ranges,
    heard_to: u64,
    committed: Option<u64>,
    end: Option<LogEnd>,
    quiet_since: Option<EventTime>,
}

#[derive(Deserialize)]
struct Island2 {
    end: u64,
    clocks: Clocks2,
    data_end: u64,
}

impl From<Clocks2> for Clocks {
    fn from(old: Clocks2) -> Self {
        Self { event: old.event, kafka: old.kafka, published: EventTime::MIN }
    }
}

impl From<Track2> for Track {
    fn from(old: Track2) -> Self {
        let island = |island: Island2| Island {
            end: island.end,
            clocks: island.clocks.into(),
            data_end: island.data_end,
        };
        Self {
            prefix: old.prefix,
            clocks: old.clocks.into(),
            data_end: old.data_end,
            islands: old.islands.into_iter().map(|(start, old)| (start, island(old))).collect(),
            lost: old.lost,
            before: old.before,
            heard_to: old.heard_to,
            committed: old.committed,
            end: old.end,
            quiet_since: old.quiet_since,
        }
    }
}
