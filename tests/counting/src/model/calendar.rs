//! Days, weeks and months of the zones in `settings`, in the autumn of 2023.

use crate::{records::DAY, settings::Unit};

const HOUR: i64 = DAY / 24;

/// When the clock is set back by an hour, and its offset from UTC before.
fn change(zone: &str) -> (i64, i64) {
    match zone {
        // 2023-10-29T01:00Z
        "Europe/Warsaw" => (1_698_541_200_000, 2 * HOUR),
        // 2023-10-26T21:00Z, at midnight
        "Africa/Cairo" => (1_698_354_000_000, 3 * HOUR),
        // 2023-11-05T06:00Z
        "America/Toronto" => (1_699_164_000_000, -4 * HOUR),
        "Asia/Kathmandu" => (i64::MAX, 5 * HOUR + 3 * HOUR / 4),
        _ => unreachable!("no case has the zone {zone}"),
    }
}

fn ahead(zone: &str, time: i64) -> i64 {
    let (at, before) = change(zone);
    if time < at { before } else { before - HOUR }
}

/// The start of a day since the epoch. In these zones every midnight exists once.
fn midnight(zone: &str, day: i64) -> i64 {
    let before = change(zone).1;
    let of = [before, before - HOUR].map(|ahead| (ahead, day * DAY - ahead));
    of.into_iter().find(|(is, time)| ahead(zone, *time) == *is).expect("it is there").1
}

/// The first days of the months from August 2023 to March 2024, since the epoch.
const MONTHS: [i64; 8] = [19_570, 19_601, 19_631, 19_662, 19_692, 19_723, 19_754, 19_783];

/// Start and end of the window that contains a time.
pub(super) fn holding(unit: Unit, zone: &str, time: i64) -> (i64, i64) {
    let day = (time + ahead(zone, time)).div_euclid(DAY);
    let (first, next) = match unit {
        Unit::Day => (day, day + 1),
        // Day 0 was a Thursday.
        Unit::Week => (day - (day + 3).rem_euclid(7), day - (day + 3).rem_euclid(7) + 7),
        Unit::Month => {
            let after = MONTHS.iter().position(|first| *first > day).expect("times are in the table");
            (MONTHS[after - 1], MONTHS[after])
        }
    };
    (midnight(zone, first), midnight(zone, next))
}

/// The longest window, including a change of the clock.
pub(super) fn longest(unit: Unit) -> i64 {
    match unit {
        Unit::Day => 2 * DAY,
        Unit::Week => 8 * DAY,
        Unit::Month => 32 * DAY,
    }
}
