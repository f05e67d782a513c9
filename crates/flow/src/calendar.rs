//! Days, weeks and months of a time zone: a day may have 23 or 25 hours.

use event::{EventTime, Millis};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

use crate::window::Window;

/// Windows that begin at midnight of a time zone and are one unit long.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    unit: Unit,
    zone: TimeZone,
}

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first to the first.
    Month,
}

impl Calendar {
    /// The windows of a zone.
    ///
    /// # Errors
    /// The names nearest to it, if there is no zone of that name.
    pub fn try_new(unit: Unit, zone: &str) -> Result<Self, Vec<String>> {
        match TimeZone::get(zone) {
            // The lookup ignores case, but a definition should not depend on it.
            Ok(found) if found.iana_name() == Some(zone) => Ok(Self { unit, zone: found }),
            _ => Err(nearest(zone)),
        }
    }

    /// The unit.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The zone's name in the IANA database.
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// No window is longer.
    pub(crate) fn longest(&self) -> Millis {
        const HOUR: i64 = 3_600_000;
        // Every change of the clock in the database is shorter than a day.
        let days = match self.unit {
            Unit::Day => 2,
            Unit::Week => 8,
            Unit::Month => 32,
        };
        Millis(days * 24 * HOUR)
    }

    /// No window is shorter, except where a zone skipped most of a day.
    pub(crate) fn shortest(&self) -> Millis {
        const HOUR: i64 = 3_600_000;
        let days = match self.unit {
            Unit::Day => 1,
            Unit::Week => 7,
            Unit::Month => 28,
        };
        Millis((days * 24 - 1) * HOUR)
    }

    /// The window that holds a time.
    pub(crate) fn holding(&self, time: EventTime) -> Window {
        let mut first = self.first_day(self.date(time));
        let mut window = self.starting(first);
        // Where the clock goes back over midnight, the date of a time may be the one before its window's.
        while window.end <= time {
            first = self.next(first);
            window = self.starting(first);
        }
        while window.start > time {
            first = self.first_day(first.saturating_sub(1.day()));
            window = self.starting(first);
        }
        window
    }

    fn date(&self, time: EventTime) -> Date {
        let bounded = time.0.clamp(Timestamp::MIN.as_millisecond() + 1, Timestamp::MAX.as_millisecond());
        let timestamp = Timestamp::from_millisecond(bounded).expect("it is within the bounds");
        self.zone.to_datetime(timestamp).date()
    }

    fn starting(&self, first: Date) -> Window {
        Window { start: self.midnight(first), end: self.midnight(self.next(first)) }
    }

    fn first_day(&self, date: Date) -> Date {
        match self.unit {
            Unit::Day => date,
            Unit::Week => date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days()),
            Unit::Month => date.first_of_month(),
        }
    }

    fn next(&self, first: Date) -> Date {
        match self.unit {
            Unit::Day => first.saturating_add(1.day()),
            Unit::Week => first.saturating_add(1.week()),
            Unit::Month => first.saturating_add(1.month()),
        }
    }

    /// When a day begins: the first moment of it where midnight itself is skipped.
    fn midnight(&self, date: Date) -> EventTime {
        let midnight = self.zone.to_ambiguous_zoned_datetime(date.at(0, 0, 0, 0)).compatible();
        match midnight.and_then(|zoned| zoned.start_of_day()) {
            Ok(start) => EventTime(start.timestamp().as_millisecond()),
            // Beyond the years that a time can have.
            Err(_) if date.year() < 0 => EventTime::MIN,
            Err(_) => EventTime::MAX,
        }
    }
}

/// Names that a typing error may have made into this one; a city without its continent is one. None for an offset such as
/// `GMT+2`: the name nearest to it, `Etc/GMT+2`, means two hours behind Greenwich.
fn nearest(zone: &str) -> Vec<String> {
    let zone = zone.to_lowercase();
    if is_offset(&zone) {
        return Vec::new();
    }
    let allowed = (zone.chars().count() / 4).min(3);
    let distance = |name: &str| {
        let name = name.to_lowercase();
        let city = name.rsplit('/').next().unwrap_or(&name);
        strsim::damerau_levenshtein(&name, &zone).min(strsim::damerau_levenshtein(city, &zone))
    };
    let names = jiff::tz::db().available();
    let names = names.map(|name| (distance(name.as_str()), name.to_string()));
    let mut near: Vec<(usize, String)> = names.filter(|(distance, _)| *distance <= allowed).collect();
    near.sort();
    near.into_iter().map(|(_, name)| name).take(3).collect()
}

/// Whether the text, in lower case, is an offset from UTC rather than a place.
pub(crate) fn is_offset(zone: &str) -> bool {
    let zone = zone.strip_prefix("etc/").unwrap_or(zone);
    let rest = ["utc", "gmt"].iter().find_map(|name| zone.strip_prefix(name)).unwrap_or(zone).trim_start();
    rest.starts_with(['+', '-']) && rest[1..].starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(unit: Unit, zone: &str, time: &str, start: &str, end: &str) {
        let calendar = Calendar::try_new(unit, zone).expect("the zone exists");
        let at = |text| EventTime::from_rfc3339(text).expect("a time");
        let window = calendar.holding(at(time));
        assert_eq!(window, Window { start: at(start), end: at(end) }, "{window:?}");
    }

    #[test]
    fn days_follow_the_clock_of_the_zone() {
        let warsaw = "Europe/Warsaw";
        check(Unit::Day, warsaw, "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check(Unit::Day, warsaw, "2026-10-25T22:59:59.999Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        check(Unit::Day, warsaw, "2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z");
        check(Unit::Week, warsaw, "2026-11-29T12:00:00Z", "2026-11-22T23:00:00Z", "2026-11-29T23:00:00Z");
        check(Unit::Month, warsaw, "2026-10-31T23:00:00Z", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
        check(Unit::Month, "UTC", "2024-02-29T23:59:59Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z");
    }

    /// Midnight was skipped in Sao Paulo; in Apia a whole day was; in Toronto the clock went back over midnight.
    #[test]
    fn odd_midnights_have_a_window() {
        check(
            Unit::Day,
            "America/Sao_Paulo",
            "2018-11-04T12:00:00Z",
            "2018-11-04T03:00:00Z",
            "2018-11-05T02:00:00Z",
        );
        check(
            Unit::Day,
            "Pacific/Apia",
            "2011-12-30T09:59:59Z",
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
        );
        check(
            Unit::Day,
            "Pacific/Apia",
            "2011-12-30T10:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-31T10:00:00Z",
        );
    }

    #[test]
    fn an_unknown_zone_has_near_ones() {
        assert_eq!(Calendar::try_new(Unit::Day, "Europe/Warszaw"), Err(vec!["Europe/Warsaw".to_owned()]));
        assert_eq!(Calendar::try_new(Unit::Day, "europe/warsaw"), Err(vec!["Europe/Warsaw".to_owned()]));
        assert_eq!(Calendar::try_new(Unit::Day, "Warsaw"), Err(vec!["Europe/Warsaw".to_owned()]));
        // Any short name is a few letters from every other one.
        for far in ["Nowhere at all", "XYZ", "+01:00", "", "GMT+2", "UTC-3", "gmt +2", "Etc/GMT+02", "-05:00"]
        {
            assert_eq!(Calendar::try_new(Unit::Day, far), Err(vec![]), "{far}");
        }
    }

    proptest! {
        #[test]
        fn windows_follow_each_other(millis in -2_000_000_000_000i64..4_000_000_000_000, zone in 0usize..7, unit in 0usize..3) {
            let zones = ["Europe/Warsaw", "America/Toronto", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "Africa/Cairo", "UTC"];
            let unit = [Unit::Day, Unit::Week, Unit::Month][unit];
            let calendar = Calendar::try_new(unit, zones[zone]).expect("the zone exists");
            let window = calendar.holding(EventTime(millis));
            prop_assert!(window.start.0 <= millis && millis < window.end.0);
            prop_assert!(window.end.0 - window.start.0 <= calendar.longest().0);
            prop_assert_eq!(calendar.holding(window.start), window);
            prop_assert_eq!(calendar.holding(EventTime(window.end.0 - 1)), window);
            prop_assert_eq!(calendar.holding(window.end).start, window.end);
        }
    }
}
