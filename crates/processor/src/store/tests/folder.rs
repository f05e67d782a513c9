//! The store over a local folder.

use std::{fs, path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use super::*;

const LONG: Duration = Duration::from_secs(3_600);

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("a b%20ü").tempdir().expect("a folder") }
    }

    fn store(&self) -> Store {
        Store::open("file://./deep/state", self.folder.path()).expect("it is a folder")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("deep/state")
    }
}

async fn hold(store: &Store) -> Hold {
    store.hold(LONG, &CancellationToken::new(), |_| {}).await.expect("no trouble").expect("not stopped")
}

#[tokio::test]
async fn looking_at_a_state_that_is_not_there_leaves_no_trace() {
    let home = Home::new();
    let (recovered, _) = recover(&home.store()).await.expect("an empty state");
    assert_eq!((recovered.next, recovered.newest), (1, None));
    assert_eq!(fs::read_dir(home.folder.path()).expect("it is there").count(), 0);
}

#[tokio::test]
async fn a_folder_keeps_the_state_and_hands_it_over() {
    let home = Home::new();
    let store = home.store();
    let first = hold(&store).await;
    let mut writer = appender(&store).await;
    write(&mut writer, &["B1", "two", "B3", "B4"]).await;
    writer.prune().await;
    first.release(writer.newest()).await;

    let mut names: Vec<String> = fs::read_dir(home.state())
        .expect("it was made")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("ours are text"))
        .collect();
    names.sort();
    assert_eq!(names, ["00000000000000000003", "00000000000000000004", "lock"]);

    let next = home.store();
    let _second = hold(&next).await;
    let mut writer = appender(&next).await;
    assert_eq!(writer.append(NEITHER, payload("five")).await.expect("alone"), 5);
    assert_eq!(texts(&home.store()).await, ["B4", "five"]);
}

#[tokio::test]
async fn a_torn_file_is_passed_over_and_a_missing_one_named() {
    let home = Home::new();
    let store = home.store();
    let _held = hold(&store).await;
    write(&mut appender(&store).await, &["B1", "two", "three"]).await;
    let file = |number: u64| home.state().join(format!("{number:020}"));
    fs::write(file(3), b"").expect("writable");
    assert_eq!(texts(&store).await, ["B1", "two"]);
    write(&mut appender(&store).await, &["four"]).await;
    fs::remove_file(file(2)).expect("it exists");
    assert!(matches!(
        recover(&store).await,
        Err(StoreError::Broken { number: 2, needed_by: 4, damage: Damage::Missing, .. })
    ));
}

#[tokio::test]
async fn a_folder_fences_too() {
    let home = Home::new();
    let (one, two) = (home.store(), home.store());
    let _held = hold(&one).await;
    let mut first = appender(&one).await;
    let mut second = appender(&two).await;
    write(&mut first, &["one"]).await;
    assert!(second.append(NEITHER, payload("uno")).await.expect_err("one exists").is_fenced());
    write(&mut first, &["two"]).await;
}

#[tokio::test]
async fn a_file_where_the_folder_should_be_is_named_at_once() {
    let home = Home::new();
    fs::write(home.folder.path().join("deep"), "x").expect("writable");
    let store = home.store();
    let error = store.hold(LONG, &CancellationToken::new(), |_| {}).await.expect_err("it is a file");
    assert!(!error.is_transient() && error.to_string().contains("deep/state"), "{error:?}");
}

#[tokio::test]
async fn a_bad_url_is_named() {
    let error = Store::open("ftp://x", std::path::Path::new(".")).expect_err("no such scheme");
    assert!(matches!(&error, StoreError::Url { url } if url == "ftp://x"), "{error:?}");
}
