//! Whether a text looks like personal data: by form and check digits, anywhere in the text.
//!
//! A form proves nothing: a match is a reason to inspect the field, and no match does not prove that it is
//! harmless.

use std::net::{IpAddr, SocketAddr};

use email_address::{EmailAddress, Options};

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    Email,
    Phone,
    Ip,
    Card,
}

impl Look {
    pub(super) const ALL: [Self; 4] = [Self::Email, Self::Phone, Self::Ip, Self::Card];

    /// Such as "an e-mail address".
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::Phone => "a telephone number",
            Self::Ip => "an IP address",
            Self::Card => "a card number",
        }
    }

    /// Such as `email`, for programs.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ip => "ip",
            Self::Card => "card",
        }
    }
}

/// Only this many bytes of a text are scanned.
const LOOKED_AT: usize = 4_096;

/// The kind of personal data in the text.
pub(super) fn looks(text: &str) -> impl Iterator<Item = Look> {
    let text = &text[..text.floor_char_boundary(LOOKED_AT)];
    // An address in a query is often written like this.
    let text = text.replace("%40", "@");
    Look::ALL.into_iter().filter(move |look| match look {
        Look::Email => words(&text).any(is_email),
        Look::Phone => digit_runs(&text).any(is_phone),
        Look::Ip => words(&text).any(is_ip),
        Look::Card => digit_runs(&text).any(is_card),
    })
}

/// The parts between white space and what encloses or joins values.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let between = |c: char| c.is_whitespace() || ",;<>()[]{}\"'=&?/\\|#".contains(c);
    text.split(between).map(|word| word.trim_matches(['.', ':'])).filter(|word| !word.is_empty())
}

fn is_email(word: &str) -> bool {
    let word = word.strip_prefix("mailto:").unwrap_or(word);
    let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
    word.contains('@') && EmailAddress::parse_with_options(word, options).is_ok()
}

fn is_ip(word: &str) -> bool {
    let ip = word.parse::<IpAddr>().or_else(|_| word.parse::<SocketAddr>().map(|address| address.ip()));
    ip.is_ok_and(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

/// Runs of digits with the usual separators between and before them, which are not part of a word.
fn digit_runs(text: &str) -> impl Iterator<Item = &str> {
    let inner = |c: char| c.is_ascii_digit() || " -.()+".contains(c);
    let mut rest = text;
    let mut before = None;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(inner)?;
            let before_run = rest[..start].chars().next_back().or(before);
            let end = rest[start..].find(|c| !inner(c)).map_or(rest.len(), |length| start + length);
            let run = &rest[start..end];
            let after = rest[end..].chars().next();
            before = run.chars().next_back();
            rest = &rest[end..];
            let trimmed =
                run.trim_start_matches([' ', '-', '.', ')']).trim_end_matches([' ', '-', '.', '(', '+']);
            let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            let goes_on = joins(after) && run.ends_with(|c: char| c.is_ascii_digit() || c == '-')
                || joins(before_run) && run.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            if !goes_on && trimmed.len() >= 8 {
                return Some(trimmed);
            }
        }
    })
}

/// `+` or `00` and 8 to 15 digits (E.164); or digits in usual groups, beginning with a 0 or in threes.
fn is_phone(run: &str) -> bool {
    let digits: String = run.chars().filter(char::is_ascii_digit).collect();
    let groups: Vec<usize> =
        run.split(|c: char| !c.is_ascii_digit()).map(str::len).filter(|length| *length > 0).collect();
    let international = run.strip_prefix('+').or(run.strip_prefix("00"));
    if let Some(number) = international {
        return (8..=15).contains(&(digits.len() - if run.starts_with('+') { 0 } else { 2 }))
            && number.starts_with(|c: char| ('1'..='9').contains(&c))
            && !number.contains('+');
    }
    let is_date = matches!(groups.as_slice(), [2, 2, 4, ..] | [4, 2, 2, ..]);
    let in_groups = groups.len() > 1 && groups.len() <= 5 && !is_date;
    let in_threes = groups == [3, 3, 4] || groups == [3, 3, 3] && !run.contains('.');
    let begins = run.starts_with(['0', '(']);
    let is_whole = groups.len() == 1 && (10..=11).contains(&digits.len());
    in_threes || (9..=12).contains(&digits.len()) && begins && (in_groups || is_whole)
}

/// The usual lengths and first digits of cards, and the check digit of ISO/IEC 7812 (Luhn).
fn is_card(run: &str) -> bool {
    let is_grouped = run.split([' ', '-']).all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let digits: String = run.chars().filter(char::is_ascii_digit).collect();
    is_grouped
        && (13..=19).contains(&digits.len())
        && digits.starts_with(|first| ('2'..='6').contains(&first))
        && luhn(digits.bytes())
}

/// Whether the last digit is the check digit of those before it.
fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0') * if place % 2 == 1 { 2 } else { 1 };
            value / 10 + value % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[Look]) {
        assert_eq!(looks(text).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn addresses_are_found_at_any_position() {
        for text in [
            "jan.kowalski@example.com",
            "Jan <jan+shop@mail.example.co.uk>, please",
            "https://shop.example/reset?mail=jan@example.com&x=1",
            "/reset?mail=jan%40example.com",
            "mailto:jan@example.com",
        ] {
            check(text, &[Look::Email]);
        }
        for text in ["203.0.113.7", "203.0.113.7:443", "from 2001:db8::17, twice", "[2001:db8::17]:443"] {
            check(text, &[Look::Ip]);
        }
    }

    #[test]
    fn phone_and_card_numbers_are_found() {
        for text in [
            "+48 601 234 567",
            "call +1 (555) 123-4567 now",
            "0049 171 1234567",
            "0171 1234567",
            "(030) 1234-5678",
            "601 234 567",
            "555-123-4567",
            "01711234567",
        ] {
            check(text, &[Look::Phone]);
        }
        for text in
            ["4111 1111 1111 1111", "4111111111111111", "card 5500-0000-0000-0004.", "378282246310005"]
        {
            check(text, &[Look::Card]);
        }
    }

    #[test]
    fn ordinary_values_are_not_flagged() {
        for text in [
            "",
            "box-3",
            "/category/bikes",
            "2026-11-24T00:01:31.123Z",
            "2026-11-24 00:01",
            "24.11.2026 00:01",
            "1763942491123",
            "1763942491123456",
            "4111111111111112",
            "9.99",
            "12:30:45",
            "e-000000012345",
            "550e8400-e29b-41d4-a716-446655440000",
            "user@localhost",
            "@handle",
            "127.0.0.1",
            "v1.2.3",
            "100 000 000 000",
            "2026-11-24",
            "ü",
        ] {
            check(text, &[]);
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_scanned(text in any::<String>(), digits in "[0-9 +().@:-]{0,40}") {
            let _ = looks(&text).count() + looks(&digits).count();
        }
    }
}
