//! Numbers, times and sizes as people read them.

use event::EventTime;

/// `1,234,567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
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
pub fn per_second(rate: f64) -> String {
    if rate >= 9.95 || rate == 0.0 { number(rate.round() as u64) } else { format!("{rate:.1}") }
}

/// `5.61 %`; a dash where there is none.
pub fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{:.2} %", rate * 100.0))
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
pub fn clock(time: EventTime) -> String {
    time.to_string().get(11..16).unwrap_or("–").to_owned()
}

/// `22:14:53` in UTC.
pub fn seconds(time: EventTime) -> String {
    time.to_string().get(11..19).unwrap_or("–").to_owned()
}

/// `2026-11-23`.
pub fn day(time: EventTime) -> String {
    time.to_string().get(..10).unwrap_or("–").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_them() {
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
        assert_eq!([1, 2].map(|count| counted(count, "hole", "holes")), ["one hole", "2 holes"]);
        let time = EventTime(1_790_503_200_250);
        assert_eq!([clock(time), seconds(time), day(time)], ["10:00", "10:00:00", "2026-09-27"]);
        assert_eq!(clock(EventTime::MIN), "–");
    }
}
