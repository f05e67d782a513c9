//! National IDs that can be recognised by form and check digits: Czechia and Slovakia, France, Germany,
//! Italy, Poland, Spain, Sweden, the United Kingdom, the United States.
//!
//! The rules are those of the issuing authorities, as python-stdnum states them. IDs without a check digit or
//! a specific form are left out, because any number matches them by chance.

/// Whether the text contains one.
pub(super) fn stands_in(text: &str) -> bool {
    let between = |c: char| c.is_whitespace() || ",;<>()[]{}\"'=&?\\|#:".contains(c);
    text.split(between).any(is_one) || text.len() <= 24 && is_spaced(text)
}

fn is_one(word: &str) -> bool {
    let word = word.trim_matches('.');
    (9..=18).contains(&word.len())
        && word.is_ascii()
        && (pesel(word)
            || steuer_id(word)
            || nir(word)
            || dni(word)
            || codice_fiscale(word)
            || personnummer(word)
            || rodne_cislo(word)
            || ssn(word)
            || nino(word))
}

/// Those that are usually written with spaces.
fn is_spaced(text: &str) -> bool {
    let joined: String = text.split(' ').collect();
    joined.len() < text.len() && joined.is_ascii() && (steuer_id(&joined) || nir(&joined) || nino(&joined))
}

/// The digits of a text with exactly this many.
fn digits<const N: usize>(text: &str) -> Option<[u32; N]> {
    let bytes: &[u8; N] = text.as_bytes().try_into().ok()?;
    bytes.iter().all(u8::is_ascii_digit).then(|| bytes.map(|byte| u32::from(byte - b'0')))
}

fn is_day(month: u32, day: u32) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Poland: the day of birth with the century in the month, a number, a check digit.
fn pesel(text: &str) -> bool {
    let Some(d) = digits::<11>(text) else { return false };
    let weights = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1];
    let sum: u32 = d.iter().zip(weights).map(|(digit, weight)| digit * weight).sum();
    is_day((d[2] * 10 + d[3]) % 20, d[4] * 10 + d[5]) && sum.is_multiple_of(10)
}

/// Germany, tax id: one digit of the first ten twice or three times, ISO 7064 MOD 11, 10.
fn steuer_id(text: &str) -> bool {
    let Some(d) = digits::<11>(text) else { return false };
    let mut times = [0; 10];
    d[..10].iter().for_each(|digit| times[*digit as usize] += 1);
    let again: Vec<u32> = times.into_iter().filter(|times| *times > 1).collect();
    let product = d[..10].iter().fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        2 * if sum == 0 { 10 } else { sum } % 11
    });
    d[0] != 0 && matches!(again.as_slice(), [2 | 3]) && (11 - product) % 10 == d[10]
}

/// France: sex, year, month, place, number, and 97 less the rest by 97.
fn nir(text: &str) -> bool {
    let Some(d) = digits::<15>(text) else { return false };
    let number = |digits: &[u32]| digits.iter().fold(0u64, |n, digit| n * 10 + u64::from(*digit));
    matches!(d[0], 1 | 2) && is_day(d[3] * 10 + d[4], 1) && 97 - number(&d[..13]) % 97 == number(&d[13..])
}

/// Spain, DNI and NIE: eight digits or X, Y, Z and seven, and a letter by 23.
fn dni(text: &str) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let Some((body, letter)) = text.split_at_checked(8).filter(|_| text.len() == 9) else { return false };
    let body = match body.as_bytes()[0] {
        first @ b'X'..=b'Z' => format!("{}{}", first - b'X', &body[1..]),
        _ => body.to_owned(),
    };
    digits::<8>(&body).is_some_and(|d| {
        let number = d.iter().fold(0, |n, digit| n * 10 + digit);
        letter.as_bytes()[0] == LETTERS[number as usize % 23]
    })
}

/// Italy: letters of the name, the day of birth, a place, a check letter.
fn codice_fiscale(text: &str) -> bool {
    // The value of a digit or letter at an odd place, counted from 1.
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let text = text.to_ascii_uppercase();
    let bytes = text.as_bytes();
    let form = |(place, byte): (usize, &u8)| match place {
        0..=5 | 8 | 11 | 15 => byte.is_ascii_uppercase(),
        // If two persons share a code, letters replace digits.
        _ => byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte),
    };
    if bytes.len() != 16 || !bytes.iter().enumerate().all(form) {
        return false;
    }
    let value = |byte: u8| u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
    let sum: u32 = bytes[..15]
        .iter()
        .enumerate()
        .map(|(place, byte)| if place % 2 == 0 { ODD[value(*byte) as usize] } else { value(*byte) })
        .sum();
    b"ABCDEHLMPRST".contains(&bytes[8]) && sum % 26 == value(bytes[15])
}

/// Sweden: the day of birth, a sign, four digits, the last by Luhn.
fn personnummer(text: &str) -> bool {
    let Some((birth, number)) = text.split_once(['-', '+']) else { return false };
    let birth = if birth.len() == 8 { &birth[2..] } else { birth };
    let all = format!("{birth}{number}");
    digits::<10>(&all)
        .is_some_and(|d| number.len() == 4 && is_day(d[2] * 10 + d[3], d[4] * 10 + d[5]) && luhn(all.bytes()))
}

/// Czechia and Slovakia: the day of birth, 50 more in the month of women, a slash, divisible by 11.
fn rodne_cislo(text: &str) -> bool {
    let Some((birth, number)) = text.split_once('/') else { return false };
    digits::<10>(&format!("{birth}{number}")).is_some_and(|d| {
        let rest = d.iter().fold(0u64, |n, digit| n * 10 + u64::from(*digit)) % 11;
        number.len() == 4 && is_day((d[2] * 10 + d[3]) % 50 % 20, d[4] * 10 + d[5]) && rest == 0
    })
}

/// The United States: three digits, two, four, none of them only zeros.
fn ssn(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let &[area, group, serial] = parts.as_slice() else { return false };
    let (Some(area), Some(group), Some(serial)) =
        (digits::<3>(area), digits::<2>(group), digits::<4>(serial))
    else {
        return false;
    };
    area[0] != 9 && area != [0; 3] && area != [6; 3] && group != [0; 2] && serial != [0; 4]
}

/// The United Kingdom: two letters, six digits, a letter from A to D.
fn nino(text: &str) -> bool {
    let (Some(prefix), Some(number), Some(suffix)) = (text.get(..2), text.get(2..8), text.get(8..)) else {
        return false;
    };
    let is_prefix = prefix.bytes().all(|byte| byte.is_ascii_uppercase() && !b"DFIQUV".contains(&byte))
        && !["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"].contains(&prefix);
    is_prefix && digits::<6>(number).is_some() && ["A", "B", "C", "D"].contains(&suffix)
}

/// Whether the last digit is the check digit of those before it.
pub(super) fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
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
    use super::*;

    #[test]
    fn examples_of_the_authorities_are_seen_and_their_neighbours_are_not() {
        for (id, neighbour) in [
            ("44051401359", "44051401358"),
            ("86095742719", "86095742718"),
            ("255081416802538", "255081416802539"),
            ("12345678Z", "12345678A"),
            ("X1234567L", "X1234567M"),
            ("RSSMRA85T10A562S", "RSSMRA85T10A562T"),
            ("811228-9874", "811228-9873"),
            ("710319/2745", "710319/2746"),
            ("536-90-4399", "666-90-4399"),
            ("AB123456C", "AB123456E"),
        ] {
            assert!(stands_in(id), "{id}");
            assert!(stands_in(&format!("id={id}, as it stands")), "{id} in a text");
            assert!(!stands_in(neighbour), "{neighbour}");
        }
        assert!(stands_in("2 55 08 14 168 025 38") && stands_in("AB 12 34 56 C"));
    }

    #[test]
    fn what_events_hold_otherwise_is_no_id() {
        for text in ["2026-11-24", "1763942491123", "box-3", "550e8400-e29b-41d4-a716-446655440000", "ü"] {
            assert!(!stands_in(text), "{text}");
        }
    }
}
