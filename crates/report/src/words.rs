//! Numbers, times and sizes as text for a person.

use event::EventTime;
use jiff::{Timestamp, tz::TimeZone};

/// `1,234,567`.
pub(crate) fn number(value: u64) -> String {
    grouped(&value.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1,998` or, below ten, `0.4`.
pub(crate) fn per_second(rate: f64) -> String {
    if rate >= 9.95 || rate == 0.0 { number(rate.round() as u64) } else { format!("{rate:.1}") }
}

/// `5.61 %`; a dash where there is none.
pub(crate) fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.2} %", rate * 100.0))
}

/// `1,999.5` of an exact decimal's digits.
pub(crate) fn decimal(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("−", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", grouped(whole))
}

/// `1,599.6`, `12.35` or `0.00123`: a double with as many digits as a person compares.
pub(crate) fn real(value: f64) -> String {
    let places = match value.abs() {
        100.0.. => 1,
        1.0.. => 2,
        0.01.. => 4,
        _ => 6,
    };
    let text = format!("{value:.places$}");
    decimal(text.trim_end_matches('0').trim_end_matches('.'))
}

/// `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn length(millis: u64) -> String {
    let seconds = millis / 1000;
    let two = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {part}"),
    };
    match seconds {
        0..10 => format!("{:.1} s", millis as f64 / 1000.0),
        10..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// `312 B`, `4.2 kB`, `1.5 GB`.
pub fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 999.5 {
            return if unit == "B" || size >= 99.5 {
                format!("{size:.0} {unit}")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// `one record`, `2 records`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("one {one}") } else { format!("{} {many}", number(count)) }
}

/// `22:14` in UTC.
pub(crate) fn clock(time: EventTime) -> String {
    time.to_string().get(11..16).unwrap_or("–").to_owned()
}

/// `22:14:53` in UTC.
pub(crate) fn seconds(time: EventTime) -> String {
    time.to_string().get(11..19).unwrap_or("–").to_owned()
}

/// `2026-11-23` in a time zone of the IANA database; in UTC if there is no zone of that name.
pub(crate) fn day_in(time: EventTime, zone: &str) -> String {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    match Timestamp::from_millisecond(time.0) {
        Ok(timestamp) => zone.to_datetime(timestamp).date().to_string(),
        Err(_) => "–".to_owned(),
    }
}

/// `2026-11-23`.
pub(crate) fn day(time: EventTime) -> String {
    time.to_string().get(..10).unwrap_or("–").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.44, 9.94, 9.96, 1998.4].map(per_second), ["0", "0.4", "9.9", "10", "1,998"]);
        assert_eq!([Some(0.0561), Some(1.5), None].map(percent), ["5.61 %", "150.00 %", "–"]);
        let lengths = [0, 440, 9_999, 59_999, 60_000, 185_000, 7_800_000, 273_600_000].map(length);
        assert_eq!(
            lengths,
            ["0.0 s", "0.4 s", "10.0 s", "59 s", "1 min", "3 min 5 s", "2 h 10 min", "3 d 4 h"]
        );
        let sizes = [0, 999, 1_000, 99_950, 1_500_000_000, 3_000_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "100 kB", "1.5 GB", "3.0 TB"]);
        let decimals = ["0", "-1234.50", "1000000", "0.000000001"].map(decimal);
        assert_eq!(decimals, ["0", "−1,234.50", "1,000,000", "0.000000001"]);
        let reals = [0.0, 1599.6, 150.0, 12.345, 0.5, -0.001_23].map(real);
        assert_eq!(reals, ["0", "1,599.6", "150", "12.35", "0.5", "−0.00123"]);
        assert_eq!([1, 2].map(|count| counted(count, "hole", "holes")), ["one hole", "2 holes"]);
        let time = EventTime(1_790_503_200_250);
        assert_eq!([clock(time), seconds(time), day(time)], ["10:00", "10:00:00", "2026-09-27"]);
        assert_eq!(clock(EventTime::MIN), "–");
        let before_midnight = EventTime(1_792_791_000_000);
        assert_eq!(day(before_midnight), "2026-10-23");
        assert_eq!(day_in(before_midnight, "Europe/Warsaw"), "2026-10-23");
        assert_eq!(day_in(EventTime(before_midnight.0 + 3_600_000), "Europe/Warsaw"), "2026-10-24");
    }
}
