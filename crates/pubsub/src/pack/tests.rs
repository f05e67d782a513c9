use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// What goes into a pack and comes out of it.
#[derive(Clone, Debug)]
struct Made {
    gap: u64,
    timestamp: Option<i64>,
    key: Option<String>,
    key_id: Option<usize>,
    headers: Vec<(usize, String)>,
    event: Vec<u8>,
}

const NAMES: [&str; 3] = ["k1", "trace", "tenant"];

fn names() -> [Arc<str>; 3] {
    NAMES.map(Arc::from)
}

fn made() -> impl Strategy<Value = Made> {
    let text = "[a-zé]{0,12}";
    let headers = prop::collection::vec((0..3_usize, text), 0..3);
    let event = prop::collection::vec(any::<u8>(), 0..40);
    let time = prop::option::of(prop_oneof![1_700_000_000_000..1_700_000_100_000_i64, any::<i64>()]);
    (
        prop_oneof![9 => Just(0_u64), 1 => 1..1_000_u64],
        time,
        prop::option::of(text),
        prop::option::of(0..3_usize),
        headers,
        event,
    )
        .prop_map(|(gap, timestamp, key, key_id, headers, event)| Made {
            gap,
            timestamp,
            key,
            key_id,
            headers,
            event,
        })
}

fn pack(records: &[Made]) -> (Vec<u64>, Offsets, Vec<u8>) {
    let (names, mut builder, mut next, mut offsets) = (names(), PackBuilder::default(), 1_000, Vec::new());
    for record in records {
        let offset = next + record.gap;
        next = offset + 1;
        offsets.push(offset);
        let headers = record.headers.iter().map(|(name, value)| (&names[*name], &**value));
        let key = (record.key.as_deref(), record.key_id.map(|id| &names[id]));
        builder.push(offset, record.timestamp, key, headers, &record.event);
    }
    let mut compressor = Compressor::default();
    let (packed, data) = builder.finish(&mut compressor);
    (offsets, packed, data.to_vec())
}

fn expected<'a>(record: &'a Made, offset: u64) -> Packed<'a> {
    Packed {
        offset,
        timestamp: record.timestamp,
        key: record.key.as_deref(),
        key_id: record.key_id.map(|id| NAMES[id]),
        headers: record.headers.iter().map(|(name, value)| (NAMES[*name], &**value)).collect(),
        event: &record.event,
    }
}

proptest! {
    #[test]
    fn records_are_what_they_were(records in prop::collection::vec(made(), 1..60)) {
        let (offsets, packed, data) = pack(&records);
        let text = packed.to_string();
        let parsed: Offsets = text.parse().expect("valid offsets");
        prop_assert_eq!(&parsed, &packed);
        prop_assert!(parsed.iter().eq(offsets.iter().copied()));
        let mut unpacker = Unpacker::default();
        let pack = unpacker.unpack(&parsed, &data).expect("a pack");
        let expected: Vec<_> = records.iter().zip(offsets).map(|(record, offset)| expected(record, offset)).collect();
        prop_assert_eq!(pack.records().collect::<Vec<_>>(), expected);
    }

    /// Whatever the contents are, they are either the records of these offsets or an error.
    #[test]
    fn damage_is_an_error(
        records in prop::collection::vec(made(), 1..20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let (_, offsets, data) = pack(&records);
        let contents = zstd::bulk::decompress(&data, MAX_CONTENTS).expect("a frame");
        let mut damaged = contents.clone();
        for (at, byte) in changes {
            *at.get_mut(&mut damaged[..]) ^= byte;
        }
        damaged.truncate(cut.index(contents.len()) + 1);
        let mut unpacker = Unpacker::default();
        if let Ok(pack) = unpacker.unpack(&offsets, &zstd::bulk::compress(&damaged, 1).expect("memory")) {
            prop_assert!(pack.records().map(|record| record.offset).eq(offsets.iter()));
        }
        prop_assert!(unpacker.unpack(&offsets, &data[..cut.index(data.len())]).is_err());
        prop_assert!(unpacker.unpack(&offsets, &data).is_ok(), "the memory is used again");
    }

    #[test]
    fn any_text_is_offsets_or_an_error(text in "[0-9,+ -]{0,30}") {
        if let Ok(offsets) = text.parse::<Offsets>() {
            prop_assert_eq!(offsets.iter().count() as u64, offsets.len());
            prop_assert!(offsets.iter().is_sorted());
            prop_assert!(offsets.len() <= MAX_RECORDS);
        }
    }
}

#[test]
fn invalid_offsets_are_refused() {
    for text in [
        "",
        "5",
        "5,0",
        "5,1,0,1",
        "5,1,2",
        "a,1",
        "0,18446744073709551615",
        "18446744073709551615,1",
        "-1,1",
        "0,10001",
    ] {
        assert_eq!(text.parse::<Offsets>(), Err(Damaged), "{text}");
    }
    assert_eq!("0,10000".parse::<Offsets>().map(|offsets| offsets.len()), Ok(MAX_RECORDS));
}

#[test]
fn the_offsets_of_a_full_pack_fit_an_attribute() {
    let mut offsets = Offsets::default();
    let mut next = u64::MAX / 2;
    while !offsets.is_full() {
        offsets.push(next);
        next += u64::from(u32::MAX) << 20;
    }
    assert!(offsets.to_string().len() <= crate::limits::MAX_VALUE_BYTES);
}

/// A frame of a few bytes may claim any size.
#[test]
fn a_claim_beyond_the_limit_is_refused_before_memory_is_taken() {
    let offsets: Offsets = "0,1".parse().expect("valid");
    let bomb = zstd::bulk::compress(&vec![0; MAX_CONTENTS + 1], 19).expect("memory");
    assert!(bomb.len() < 1_000);
    let mut unpacker = Unpacker::default();
    assert_eq!(unpacker.unpack(&offsets, &bomb).err(), Some(Damaged));
    // The size of the contents in the head of a frame: 4 GiB less one.
    let mut claim = zstd::bulk::compress(&vec![7; 70_000], 1).expect("memory");
    assert_eq!(claim[4] >> 6, 2, "a field of four bytes");
    claim[5..9].copy_from_slice(&[0xff; 4]);
    assert_eq!(unpacker.unpack(&offsets, &claim).err(), Some(Damaged));
    assert_eq!(unpacker.unpack(&offsets, b"").err(), Some(Damaged));
}

#[test]
fn a_pack_is_full_before_its_limits() {
    let mut builder = PackBuilder::default();
    let event = vec![b'x'; MAX_EVENT];
    let mut offset = 0;
    while !builder.is_full() {
        builder.push(offset, Some(offset as i64), (None, None), std::iter::empty(), &event);
        offset += 1;
    }
    assert!((2..10).contains(&offset));
    let mut compressor = Compressor::default();
    let (offsets, data) = builder.finish(&mut compressor);
    assert!(builder.is_empty() && data.len() <= MAX_CONTENTS);
    let mut unpacker = Unpacker::default();
    assert_eq!(unpacker.unpack(&offsets, data).expect("a pack").records().len() as u64, offset);
}
