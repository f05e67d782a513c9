use super::*;
use crate::store::Kind;

#[test]
fn an_unknown_format_is_refused_and_not_guessed_at() {
    let saved = Saved {
        everything: true,
        frontier: Frontier::new(),
        unpositioned: None,
        published: EventTime::MIN,
        ids: Vec::new(),
        flows: Vec::new(),
        outbox: SavedOutbox::default(),
    };
    let payload = saved.encode().expect("state").into();
    let mut checkpoint = Checkpoint { number: 7, kind: Kind::Base, version: FORMAT, payload };
    Saved::decode(&checkpoint).expect("the version that was written");
    for version in [1, FORMAT + 1] {
        checkpoint.version = version;
        let error = Saved::decode(&checkpoint).expect_err("a version without a reader");
        assert!(matches!(error, ProcessorError::Unreadable { number: 7, .. }), "{error}");
    }
}
