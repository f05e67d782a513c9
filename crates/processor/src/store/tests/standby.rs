//! Which processor may write, and when. Time is paused, so that waiting for an hour takes none.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep};
use tokio_util::sync::CancellationToken;

use super::{faults::Faulty, *};

const TAKEOVER: Duration = Duration::from_secs(15);
const PERIOD: Duration = Duration::from_secs(5);

/// Waits for the hold, and measures the time.
async fn hold(store: &Store) -> (Hold, Duration) {
    let start = Instant::now();
    let hold = store
        .hold(TAKEOVER, &CancellationToken::new(), |_| {})
        .await
        .expect("no trouble")
        .expect("not stopped");
    (hold, start.elapsed())
}

/// Checks that a wait took the expected time, or at most one look longer.
fn about(waited: Duration, expected: Duration) {
    assert!(waited >= expected && waited < expected + TAKEOVER / 4, "{waited:?} is not about {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_store_is_held_at_once() {
    let (_, waited) = hold(&over(&memory())).await;
    assert_eq!(waited, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_lets_the_next_start_at_once_and_a_crash_does_not() {
    let objects = memory();
    let first = over(&objects);
    let (held, _) = hold(&first).await;
    let mut writer = appender(&first).await;
    write(&mut writer, &["B1", "two"]).await;
    held.release(writer.newest()).await;

    let second = over(&objects);
    let (crashes, waited) = hold(&second).await;
    assert_eq!(waited, Duration::ZERO);
    drop(crashes);
    let third = over(&objects);
    let (_held, waited) = hold(&third).await;
    about(waited, TAKEOVER);
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_somebody_wrote_past_is_worth_nothing() {
    let objects = memory();
    let first = over(&objects);
    let (held, _) = hold(&first).await;
    let mut writer = appender(&first).await;
    write(&mut writer, &["B1"]).await;
    held.release(writer.newest()).await;
    write(&mut writer, &["two"]).await;
    about(hold(&over(&objects)).await.1, TAKEOVER);
}

#[tokio::test(start_paused = true)]
async fn a_stand_by_waits_while_the_holder_writes_and_takes_over_when_it_stops() {
    let objects = memory();
    let store = over(&objects);
    let mut holder = appender(&store).await;
    write(&mut holder, &["B1"]).await;
    let standby = over(&objects);
    let waiting = tokio::spawn(async move { (hold(&standby).await, standby) });
    for _ in 0..20 {
        sleep(PERIOD).await;
        write(&mut holder, &["beat"]).await;
        assert!(!waiting.is_finished());
    }
    let silent = Instant::now();
    let ((_held, _), standby) = waiting.await.expect("it ends by itself");
    // The standby notices the last checkpoint at its next look, so up to one look late.
    about(silent.elapsed(), TAKEOVER);
    write(&mut appender(&standby).await, &["mine"]).await;
    assert!(holder.append(NEITHER, payload("late")).await.expect_err("it was overtaken").is_fenced());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_listed_says_nothing_about_its_holder() {
    let objects = memory();
    let plain = over(&objects);
    write(&mut appender(&plain).await, &["B1"]).await;
    let faulty = Arc::new(Faulty::new(objects));
    // Listing fails now and then for a long time: each failure restarts the wait.
    let fails: Vec<bool> = (0..40).map(|look| look % 4 == 3).collect();
    faulty.fail_lists(&fails);
    let store = Store::over(faulty, PREFIX);
    let (_held, waited) = hold(&store).await;
    let looks = TAKEOVER / 8;
    about(waited, looks * 40 + TAKEOVER);
}

#[tokio::test(start_paused = true)]
async fn a_stand_by_can_be_stopped() {
    let objects = memory();
    let store = over(&objects);
    write(&mut appender(&store).await, &["B1"]).await;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let waiting = tokio::spawn(async move { store.hold(TAKEOVER, &token, |_| {}).await });
    advance(Duration::from_secs(1)).await;
    shutdown.cancel();
    assert!(waiting.await.expect("it ends").expect("no trouble").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_holder_of_a_folder_loses_it_for_good() {
    let home = tempfile::tempdir().expect("a folder");
    let open = || Store::open("file://.", home.path()).expect("it is a folder");
    let first = open();
    let (stopped, waited) = hold(&first).await;
    assert_eq!(waited, Duration::ZERO);
    let mut overtaken = appender(&first).await;
    write(&mut overtaken, &["B1"]).await;

    let second = open();
    let (holds, waited) = hold(&second).await;
    about(waited, TAKEOVER);
    let mut writer = appender(&second).await;
    write(&mut writer, &["two"]).await;
    assert!(overtaken.append(NEITHER, payload("zwei")).await.expect_err("two exists").is_fenced());
    drop(stopped);

    let third = open();
    let waiting = tokio::spawn(async move { hold(&third).await.1 });
    for _ in 0..10 {
        sleep(PERIOD).await;
        write(&mut writer, &["beat"]).await;
        assert!(!waiting.is_finished(), "the lock that the first one freed is not the lock any more");
    }
    let freed = Instant::now();
    drop(holds);
    waiting.await.expect("it ends by itself");
    assert!(freed.elapsed() < Duration::from_secs(1), "at once where the lock is free");
}
