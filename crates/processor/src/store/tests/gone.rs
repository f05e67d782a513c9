//! State that is deleted while its writer runs.

use bytes::Bytes;

use super::{Appender, NEITHER, Part, Store, StoreError, appender};

async fn writer(folder: &std::path::Path) -> (Store, Appender) {
    let store = Store::open("file://./state", folder).expect("a place");
    let appender = appender(&store).await;
    (store, appender)
}

fn payload() -> Bytes {
    Bytes::from_static(b"state")
}

#[tokio::test]
async fn a_deleted_folder_is_noticed_and_not_made_again() {
    let home = tempfile::tempdir().expect("a folder");
    let (store, mut appender) = writer(home.path()).await;
    store.check_present().expect("nothing was written yet");
    appender.append(Part::whole(), payload()).await.expect("room");
    appender.append(NEITHER, payload()).await.expect("room");
    store.check_present().expect("it is there");
    std::fs::remove_dir_all(home.path().join("state")).expect("it is there");
    assert!(matches!(store.check_present(), Err(StoreError::Gone { number: 2, .. })));
    for part in [NEITHER, Part::whole()] {
        let error = appender.append(part, payload()).await.expect_err("the state is gone");
        assert!(matches!(error, StoreError::Gone { number: 2, .. }) && !error.is_transient(), "{error}");
    }
    assert!(!home.path().join("state").exists(), "the next start must find either all of it or nothing");
}

#[tokio::test]
async fn an_emptied_folder_is_noticed() {
    let home = tempfile::tempdir().expect("a folder");
    let (store, mut appender) = writer(home.path()).await;
    appender.append(Part::whole(), payload()).await.expect("room");
    for entry in home.path().join("state").read_dir().expect("the folder") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("it is there");
    }
    assert!(matches!(store.check_present(), Err(StoreError::Gone { number: 1, .. })));
    assert!(matches!(appender.append(NEITHER, payload()).await, Err(StoreError::Gone { .. })));
}

#[tokio::test]
async fn a_takeover_that_pruned_is_reported_as_one() {
    let home = tempfile::tempdir().expect("a folder");
    let (store, mut first) = writer(home.path()).await;
    first.append(Part::whole(), payload()).await.expect("room");
    let (_, mut second) = writer(home.path()).await;
    for _ in 0..3 {
        second.append(Part::whole(), payload()).await.expect("room");
        second.prune().await;
    }
    assert!(!home.path().join("state").join(format!("{:020}", 1)).exists(), "it was pruned");
    store.check_present().expect("another processor has the state");
    assert!(matches!(first.append(NEITHER, payload()).await, Err(StoreError::Fenced { .. })));
}
