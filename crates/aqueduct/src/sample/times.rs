//! Event times compared with the Kafka timestamps of their records: numbers only.
//!
//! The watermark of a quiet topic moves to the current time minus `out_of_orderness` after `idle_after`, and
//! events that its producer sends later than that are late. The delays show how much later they are sent.

use event::{
    EventTime, EventsSettings, Pointer,
    events::event_time,
    pick::{Picker, Scratch},
};
use serde::Serialize;

/// Reads the times of records.
pub(crate) struct Times {
    settings: EventsSettings,
    pointers: Vec<Pointer>,
    picker: Picker,
    scratch: Scratch,
    /// Milliseconds from the event to its record's timestamp; negative if the event is ahead.
    delays: Vec<i64>,
    read: u64,
    in_january_1970: u64,
}

/// The statistics of the times.
#[derive(Debug, Serialize)]
pub(crate) struct TimesReport {
    /// Events whose time could be read.
    pub(crate) read: u64,
    /// Those whose time falls in January 1970, as seconds do that are taken for milliseconds.
    pub(crate) in_january_1970: u64,
    /// From the event to its record's Kafka timestamp, in milliseconds; absent for files, which have no such timestamps.
    pub(crate) delay_p50_ms: Option<i64>,
    pub(crate) delay_max_ms: Option<i64>,
    /// The maximum time by which an event is ahead of its record.
    pub(crate) ahead_max_ms: Option<i64>,
}

const FEBRUARY_1970: EventTime = EventTime(31 * 86_400_000);

impl Times {
    pub(crate) fn new(settings: &EventsSettings) -> Self {
        let own = settings.topics.values().filter_map(|own| own.time.clone());
        let pointers: Vec<Pointer> = own.chain([settings.time.clone()]).collect();
        let picker = Picker::new(&pointers);
        Self {
            settings: settings.clone(),
            pointers,
            picker,
            scratch: Scratch::default(),
            delays: Vec::new(),
            read: 0,
            in_january_1970: 0,
        }
    }

    /// Reads the times of a record from Kafka or a file.
    pub(crate) fn take(&mut self, topic: &str, value: &[u8], kafka_time: Option<EventTime>) {
        let wanted = self.settings.time_for(topic);
        let mut values = self.scratch.take();
        let picked = self.picker.pick(value, &mut self.scratch, &mut values).is_ok();
        let slot = self.pointers.iter().position(|pointer| pointer == wanted);
        let time = slot.filter(|_| picked).and_then(|slot| event_time(&values[slot]));
        self.scratch.put(values);
        let Some(time) = time.filter(|time| EventTime::from_millis(time.0).is_some()) else { return };
        self.read += 1;
        self.in_january_1970 += u64::from((EventTime(0)..FEBRUARY_1970).contains(&time));
        self.delays.extend(kafka_time.map(|kafka| kafka.0.saturating_sub(time.0)));
    }

    pub(crate) fn report(mut self) -> TimesReport {
        self.delays.sort_unstable();
        let delays = &self.delays;
        TimesReport {
            read: self.read,
            in_january_1970: self.in_january_1970,
            delay_p50_ms: delays.get(delays.len() / 2).copied(),
            delay_max_ms: delays.last().copied(),
            ahead_max_ms: delays.first().map(|least| least.saturating_neg().max(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_from_the_event_to_its_record() {
        let settings: EventsSettings =
            serde_json::from_str(r#"{"time": "/t", "topics": {"other": {"time": "/at"}}}"#)
                .expect("the section");
        let mut times = Times::new(&settings);
        let at = |millis: i64| Some(EventTime(millis));
        for (topic, value, kafka) in [
            ("a", r#"{"t":10000000000}"#, at(10_000_000_020)),
            ("a", r#"{"t":10000000000}"#, at(10_000_000_005)),
            ("other", r#"{"t":1,"at":10000000000}"#, at(9_999_999_000)),
            ("a", r#"{"t":1760000000}"#, None),
            ("a", r#"{"t":"soon"}"#, at(1)),
            ("a", "no event", at(1)),
        ] {
            times.take(topic, value.as_bytes(), kafka);
        }
        let report = times.report();
        assert_eq!((report.read, report.in_january_1970), (4, 1));
        let delays = (report.delay_p50_ms, report.delay_max_ms, report.ahead_max_ms);
        assert_eq!(delays, (Some(5), Some(20), Some(1000)));
    }
}
