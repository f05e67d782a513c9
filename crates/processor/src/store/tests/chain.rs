//! Appending, recovering and pruning by one writer.

use proptest::prelude::*;

use super::{
    faults::{Fault, Faulty},
    *,
};
use crate::store::format::{self, Header, Writer};

#[tokio::test]
async fn what_was_appended_comes_back_in_order() {
    let objects = memory();
    let store = over(&objects);
    let empty = recover(&store).await.expect("nothing is broken");
    let (empty, none) = empty;
    assert_eq!((empty.next, empty.newest, none.len()), (1, None, 0));

    let mut first = store.appender(&empty);
    write(&mut first, &["one", "two"]).await;
    let (early, read) = recover(&over(&objects)).await.expect("whole");
    assert_eq!((early.next, early.newest, early.checkpoints), (3, Some(2), 2));
    assert!(read == ["one", "two"] && early.written_at.is_some());

    write(&mut first, &["B3", "four"]).await;
    assert_eq!(first.chain(), 2);
    let mut second = appender(&over(&objects)).await;
    assert_eq!(second.chain(), 2);
    write(&mut second, &["five"]).await;
    assert_eq!(texts(&store).await, ["B3", "four", "five"]);
    let apply = |numbers: &mut Vec<_>, checkpoint: Checkpoint| {
        numbers.push((checkpoint.number, checkpoint.version));
        Ok::<_, StoreError>(())
    };
    let (_, numbers) = store.recover(Vec::new, apply).await.expect("whole");
    assert_eq!(numbers, [(3, FORMAT), (4, FORMAT), (5, FORMAT)]);
}

#[tokio::test]
async fn large_payloads_go_through_too() {
    let store = over(&memory());
    let large: Bytes = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = appender(&store).await;
    assert_eq!(writer.append(Part::whole(), large.clone()).await.expect("alone"), 1);
    let apply = |payload: &mut Bytes, checkpoint: Checkpoint| {
        *payload = checkpoint.payload;
        Ok::<_, StoreError>(())
    };
    assert_eq!(store.recover(Bytes::new, apply).await.expect("whole").1, large);
}

#[tokio::test]
async fn pruning_keeps_the_generation_before_so_that_a_torn_base_is_survived() {
    let objects = memory();
    let store = over(&objects);
    let mut writer = appender(&store).await;
    write(&mut writer, &["one", "B2", "three", "B4", "five", "B6"]).await;
    writer.prune().await;
    assert_eq!(store.list().await.expect("listed").numbers, [4, 5, 6]);

    tear(&*objects, &path(6)).await;
    let (recovered, read) = recover(&store).await.expect("the generation before is whole");
    assert_eq!((read, recovered.torn, recovered.next), (vec!["B4".into(), "five".into()], vec![6], 7));
}

#[tokio::test]
async fn a_round_is_the_base_once_it_is_complete() {
    let objects = memory();
    let store = over(&objects);
    let mut writer = appender(&store).await;
    // A part that is neither first nor last is in the middle. The round that a restart interrupted does not count.
    write(&mut writer, &["B1", "First2", "three"]).await;
    let mut writer = appender(&store).await;
    write(&mut writer, &["First4", "five"]).await;
    assert_eq!(texts(&store).await, ["B1", "First2", "three", "First4", "five"]);
    assert_eq!(writer.chain(), 5);
    write(&mut writer, &["Last6", "seven"]).await;
    assert_eq!(texts(&store).await, ["First4", "five", "Last6", "seven"]);
    assert_eq!(writer.chain(), 4);
    writer.prune().await;
    assert_eq!(
        store.list().await.expect("listed").numbers,
        [1, 2, 3, 4, 5, 6, 7],
        "the round before is kept"
    );
    write(&mut writer, &["First8", "Last9"]).await;
    writer.prune().await;
    assert_eq!(store.list().await.expect("listed").numbers, [4, 5, 6, 7, 8, 9]);
    tear(&*objects, &path(9)).await;
    assert_eq!(texts(&store).await, ["First4", "five", "Last6", "seven", "First8"]);
}

#[tokio::test]
async fn old_checkpoints_are_deleted_some_at_a_time() {
    let store = over(&memory());
    let mut writer = appender(&store).await;
    let mut prunings = 0;
    for _ in 0..160 {
        write(&mut writer, &["B"]).await;
        if writer.has_old() {
            writer.prune().await;
            prunings += 1;
        }
        assert!(store.list().await.expect("listed").numbers.len() <= 18);
    }
    assert!((5..=10).contains(&prunings), "{prunings}");
}

#[tokio::test]
async fn a_torn_newest_is_passed_over_and_its_number_is_burnt() {
    let objects = memory();
    let store = over(&objects);
    write(&mut appender(&store).await, &["B1", "two", "three"]).await;
    tear(&*objects, &path(3)).await;
    let mut again = appender(&over(&objects)).await;
    assert_eq!(again.append(NEITHER, payload("four")).await.expect("alone"), 4);
    let (recovered, read) = recover(&store).await.expect("three is no link of the chain");
    assert_eq!((read, recovered.torn), (vec!["B1".into(), "two".into(), "four".into()], vec![]));
}

#[tokio::test]
async fn a_missing_newest_leaves_the_one_before() {
    let objects = memory();
    let store = over(&objects);
    write(&mut appender(&store).await, &["B1", "two", "three"]).await;
    objects.delete(&path(3)).await.expect("it exists");
    assert_eq!(texts(&store).await, ["B1", "two"]);
}

#[tokio::test]
async fn damage_below_the_newest_names_the_checkpoint() {
    for (torn, damage) in [(true, Damage::Torn), (false, Damage::Missing)] {
        let objects = memory();
        let store = over(&objects);
        write(&mut appender(&store).await, &["B1", "two", "three"]).await;
        if torn {
            tear(&*objects, &path(2)).await;
        } else {
            objects.delete(&path(2)).await.expect("it exists");
        }
        let error = recover(&store).await.expect_err("three cannot be read without two");
        match &error {
            StoreError::Broken { number: 2, needed_by: 3, damage: found, .. } => assert_eq!(*found, damage),
            other => panic!("{other}"),
        }
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_state_without_one_whole_checkpoint_is_refused_unless_it_had_only_begun() {
    let objects = memory();
    let store = over(&objects);
    write(&mut appender(&store).await, &["B1"]).await;
    tear(&*objects, &path(1)).await;
    let (recovered, read) = recover(&store).await.expect("it had only begun");
    assert_eq!((read, recovered.next, recovered.newest), (vec![], 2, None));

    write(&mut store.appender(&recovered), &["B2"]).await;
    tear(&*objects, &path(2)).await;
    assert!(matches!(recover(&store).await, Err(StoreError::Unreadable { count: 2, .. })));
}

#[tokio::test]
async fn older_formats_are_handed_over_and_newer_ones_refused() {
    let objects = memory();
    let store = over(&objects);
    let put = async |number: u64, version: u16| {
        let header = Header { version, number, previous: 0, base: number, writer: Writer::draw() };
        let bytes = format::encode(&header, b"x").expect("it compresses");
        objects.put(&path(number), bytes).await.expect("it is memory");
    };
    put(1, 0).await;
    let apply = |found: &mut u16, checkpoint: Checkpoint| {
        *found = checkpoint.version;
        Ok::<_, StoreError>(())
    };
    assert_eq!(store.recover(|| u16::MAX, apply).await.expect("older").1, 0);
    put(2, FORMAT + 1).await;
    let error = recover(&store).await.expect_err("newer");
    assert!(
        matches!(error, StoreError::Newer { number: 2, version, .. } if version == FORMAT + 1),
        "{error}"
    );
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_recognised_as_ones_own() {
    let faulty = Arc::new(Faulty::new(memory()));
    let store = Store::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>, PREFIX);
    let mut writer = appender(&store).await;
    for fault in [Fault::Before, Fault::After, Fault::Full] {
        faulty.fail_puts(&[fault, fault]);
        let number = writer.next();
        for _ in 0..if fault == Fault::After { 1 } else { 2 } {
            let error = writer.append(NEITHER, payload("x")).await.expect_err("an injected failure");
            assert!(error.is_transient(), "{error}");
            assert_eq!(matches!(error, StoreError::Full { .. }), fault == Fault::Full, "{error}");
        }
        // After a lost answer the object exists, so the second fault makes the put fail with "already exists".
        assert_eq!(writer.append(NEITHER, payload("x")).await.expect("it goes through"), number);
    }
    assert_eq!(texts(&store).await.len(), 3);
}

#[tokio::test]
async fn a_listing_that_fails_after_the_write_is_made_up_for() {
    let faulty = Arc::new(Faulty::new(memory()));
    let store = Store::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>, PREFIX);
    let mut writer = appender(&store).await;
    faulty.fail_lists(&[true]);
    assert!(
        writer.append(Part::whole(), payload("B")).await.expect_err("an injected failure").is_transient()
    );
    assert_eq!(writer.append(Part::whole(), payload("B")).await.expect("it exists"), 1);
}

#[tokio::test]
async fn another_payload_after_a_lost_answer_is_refused() {
    let faulty = Arc::new(Faulty::new(memory()));
    let store = Store::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>, PREFIX);
    let mut writer = appender(&store).await;
    faulty.fail_puts(&[Fault::After]);
    writer.append(NEITHER, payload("x")).await.expect_err("an injected failure");
    let error = writer.append(NEITHER, payload("y")).await.expect_err("x exists");
    assert!(matches!(error, StoreError::Changed { number: 1, .. }), "{error}");
}

#[tokio::test]
async fn the_one_that_was_overtaken_stays_fenced_even_where_its_number_was_pruned() {
    let objects = memory();
    let (old, new) = (over(&objects), over(&objects));
    let mut stopped = appender(&old).await;
    write(&mut stopped, &["one"]).await;
    let mut taker = appender(&new).await;
    write(&mut taker, &["B2", "B3", "B4"]).await;
    taker.prune().await;
    assert_eq!(old.list().await.expect("listed").numbers, [3, 4]);

    for _ in 0..2 {
        let error = stopped.append(NEITHER, payload("two")).await.expect_err("four is newer");
        assert!(matches!(error, StoreError::Fenced { number: 2, newest: 4, .. }), "{error}");
    }
    assert_eq!(texts(&new).await, ["B4"]);
    write(&mut taker, &["five", "B6"]).await;
    taker.prune().await;
    assert_eq!(new.list().await.expect("listed").numbers, [4, 5, 6], "what the fenced one left is pruned");
}

#[tokio::test]
async fn a_fenced_writer_stays_fenced_whatever_becomes_of_the_store() {
    let objects = memory();
    let (mut old, mut new) = (appender(&over(&objects)).await, appender(&over(&objects)).await);
    write(&mut new, &["B1"]).await;
    assert!(old.append(NEITHER, payload("x")).await.expect_err("one exists").is_fenced());
    objects.delete(&path(1)).await.expect("it exists");
    assert!(old.append(NEITHER, payload("x")).await.expect_err("it was fenced").is_fenced());
}

#[tokio::test]
async fn a_foreign_object_under_the_next_number_fences() {
    let objects = memory();
    let mut writer = appender(&over(&objects)).await;
    objects.put(&path(1), "foreign".into()).await.expect("it is memory");
    assert!(writer.append(Part::whole(), payload("B")).await.expect_err("it is not ours").is_fenced());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_run_of_one_writer_with_restarts_keeps_all_that_was_appended(
        steps in prop::collection::vec((1..6_usize, any::<bool>(), prop::bool::weighted(0.1), 0..5_usize), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let faulty = Arc::new(Faulty::new(memory()));
            let store = || Store::over(Arc::clone(&faulty) as Arc<dyn ObjectStore>, PREFIX);
            let mut writer = appender(&store()).await;
            let mut state = Texted::default();
            for (index, (copies, prunes, restarts, fault)) in steps.into_iter().enumerate() {
                let (part, payload) = state.push(&index.to_string(), copies);
                faulty.fail_puts(&[[Fault::None, Fault::Before, Fault::After, Fault::Full, Fault::None][fault]]);
                while let Err(error) = writer.append(part, payload.clone()).await {
                    assert!(error.is_transient(), "{error}");
                }
                if prunes {
                    writer.prune().await;
                }
                let (recovered, read) = Texted::recover(&store()).await.expect("whole");
                assert_eq!(read.sorted(), state.sorted());
                assert_eq!((recovered.next, recovered.checkpoints), (writer.next(), writer.chain()));
                if restarts {
                    (writer, state) = (store().appender(&recovered), read);
                }
            }
        });
    }
}
