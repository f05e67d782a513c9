//! An event as JSON bytes, and how it is broken.
//!
//! Written by hand: this is what the generator spends its time on. Every text is made of ASCII that needs no escape,
//! or is escaped in the tables below.

use super::{Defect, Kind, happening::Happening, world::World};

/// Writes events; the same event gives the same bytes.
#[derive(Debug)]
pub(super) struct Renderer {
    event_ids: u64,
    view_ids: u64,
    day: Day,
}

/// The date of the day that was written last, as most events share it.
#[derive(Debug)]
struct Day {
    number: i64,
    /// `2026-01-01T`.
    text: String,
}

const MILLIS_A_DAY: i64 = 86_400_000;

/// What follows a page's path; a power of two of them.
const QUERIES: [&str; 8] =
    ["", "", "", "?page=2", "", "?utm_source=mail&utm_campaign=spring", "", "#reviews"];

/// Searches, as JSON strings without quotes and as they appear in a URL; their number is a power of two.
const SEARCHES: [(&str, &str); 4] = [
    ("road bike", "road+bike"),
    ("sofa \\\"vintage\\\"", "sofa+%22vintage%22"),
    ("v\u{e9}lo enfant", "v%C3%A9lo+enfant"),
    ("\\u30ab\\u30e1\\u30e9", "%E3%82%AB%E3%83%A1%E3%83%A9"),
];

impl Renderer {
    pub(super) fn new(seed: u64) -> Self {
        // Two runs of the bijection below, so that ids of different seeds and kinds do not meet.
        let event_ids = scramble(seed ^ 0x5eed_0000_e7e7_0001);
        Self { event_ids, view_ids: scramble(event_ids), day: Day { number: i64::MIN, text: String::new() } }
    }

    pub(super) fn write(
        &mut self,
        world: &World,
        happening: &Happening,
        defect: Option<Defect>,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        match defect {
            Some(Defect::Tombstone) => return,
            Some(Defect::Array) => return out.extend_from_slice(b"[\"view\",1,2,3]"),
            _ => {}
        }
        out.extend_from_slice(b"{\"event_id\":\"");
        hex(scramble(happening.number ^ self.event_ids), out);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(type_name(happening.kind).as_bytes());
        out.push(b'"');
        self.write_time(happening.time, defect, out);
        write_page(world, happening, out);
        write_person(happening, defect, out);
        if matches!(happening.kind, Kind::View | Kind::Click) {
            write_box(world, happening, defect, out);
            out.extend_from_slice(b",\"view_id\":\"");
            hex(scramble(happening.view ^ self.view_ids), out);
            out.push(b'"');
        }
        write_items(happening, out);
        out.push(b'}');
        if defect == Some(Defect::Truncated) {
            // Somewhere between the opening and the closing brace.
            let length = out.len() - start;
            out.truncate(start + 1 + happening.detail as usize % (length - 2));
        }
    }

    fn write_time(&mut self, millis: i64, defect: Option<Defect>, out: &mut Vec<u8>) {
        match defect {
            Some(Defect::NoTime) => {}
            Some(Defect::WordTime) => out.extend_from_slice(b",\"time\":\"yesterday\""),
            Some(Defect::FutureTime) => out.extend_from_slice(b",\"time\":\"2999-12-31T23:59:59.000Z\""),
            _ => {
                out.extend_from_slice(b",\"time\":\"");
                self.day.write(millis, out);
                out.push(b'"');
            }
        }
    }
}

impl Day {
    /// RFC 3339 with milliseconds.
    fn write(&mut self, millis: i64, out: &mut Vec<u8>) {
        let number = millis.div_euclid(MILLIS_A_DAY);
        if number != self.number {
            let start = event::EventTime(number * MILLIS_A_DAY).to_string();
            *self = Self { number, text: start.trim_end_matches("00:00:00.000Z").to_owned() };
        }
        out.extend_from_slice(self.text.as_bytes());
        let rest = millis.rem_euclid(MILLIS_A_DAY) as u32;
        let (seconds, millis) = (rest / 1000, rest % 1000);
        let digits = |n: u32| [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        let [[h1, h2], [m1, m2], [s1, s2]] = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(digits);
        let ([f1, f2], f3) = (digits(millis / 10), b'0' + (millis % 10) as u8);
        out.extend_from_slice(&[h1, h2, b':', m1, m2, b':', s1, s2, b'.', f1, f2, f3, b'Z']);
    }
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::View => "view",
        Kind::Click => "click",
        Kind::Search => "search",
        Kind::Contact => "contact",
    }
}

fn write_page(world: &World, happening: &Happening, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"page\":\"");
    let detail = happening.detail as usize;
    if happening.kind == Kind::Search {
        let (text, url) = SEARCHES[detail % SEARCHES.len()];
        out.extend_from_slice(b"/search?q=");
        out.extend_from_slice(url.as_bytes());
        out.extend_from_slice(b"\",\"query\":\"");
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend_from_slice(world.page(happening.page).as_bytes());
        out.extend_from_slice(QUERIES[detail % QUERIES.len()].as_bytes());
    }
    out.push(b'"');
}

/// The ID is a number for most users and a string for some, always the same for one user.
fn write_person(happening: &Happening, defect: Option<Defect>, out: &mut Vec<u8>) {
    let user = happening.user_id();
    let (open, close) = match defect {
        Some(Defect::ArrayUser) => (&b"["[..], &b"]"[..]),
        Some(Defect::NotUtf8) => (&b"\"\xff\xfe"[..], &b"\""[..]),
        _ if user.is_multiple_of(4) => (&b"\""[..], &b"\""[..]),
        _ => (&b""[..], &b""[..]),
    };
    out.extend_from_slice(b",\"user_id\":");
    out.extend_from_slice(open);
    decimal(user, out);
    out.extend_from_slice(close);
    // A session lasts while the user reads one kind of page.
    out.extend_from_slice(b",\"session\":{\"id\":\"s");
    decimal(user % 9973 * 16 + u64::from(happening.page % 16), out);
    out.extend_from_slice(b"\",\"user\":\"u-");
    decimal(user, out);
    // Addresses kept for documentation (RFC 5737).
    let network = [&b"192.0.2."[..], &b"198.51.100."[..], &b"203.0.113."[..]][(user % 3) as usize];
    out.extend_from_slice(b"\"},\"ip\":\"");
    out.extend_from_slice(network);
    decimal(1 + user % 254, out);
    out.push(b'"');
}

fn write_box(world: &World, happening: &Happening, defect: Option<Defect>, out: &mut Vec<u8>) {
    let name = world.box_name(happening.slot).as_bytes();
    if defect == Some(Defect::ObjectBox) {
        out.extend_from_slice(b",\"box\":{\"name\":\"");
        out.extend_from_slice(name);
        return out.extend_from_slice(b"\"}");
    }
    out.extend_from_slice(b",\"box\":\"");
    out.extend_from_slice(name);
    out.push(b'"');
}

/// Two items in one view of eight, one in another; a click and a contact have one.
fn write_items(happening: &Happening, out: &mut Vec<u8>) {
    let draw = happening.detail >> 8;
    let count = match happening.kind {
        Kind::View => [2, 1, 0, 0, 0, 0, 0, 0][(draw % 8) as usize],
        Kind::Click | Kind::Contact => 1,
        Kind::Search => 0,
    };
    if count == 0 {
        return;
    }
    out.extend_from_slice(b",\"items\":");
    for n in 0..count {
        let item = u64::from((draw >> 3) + n * 7919);
        out.extend_from_slice(if n == 0 { b"[{\"id\":\"" } else { b",{\"id\":\"" });
        decimal(item % 1_000_000, out);
        out.extend_from_slice(b"\",\"seller_id\":\"seller-");
        decimal(item % 5000, out);
        out.extend_from_slice(b"\"}");
    }
    out.push(b']');
}

/// Appends a number as decimal digits.
pub(super) fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn hex(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 16];
    for (n, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * n)) as usize & 15];
    }
    out.extend_from_slice(&digits);
}

/// A bijection of 64-bit numbers that looks random (the finaliser of SplitMix64, Steele, Lea and Flood 2014): ids
/// never meet within a run.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
