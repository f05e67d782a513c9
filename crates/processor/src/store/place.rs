//! The place of the state: `file://FOLDER` or `gs://BUCKET/PATH`.
//!
//! Opening a place does not create a folder: the processor that holds the state does, so that reading it leaves no
//! trace.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use object_store::{local::LocalFileSystem, path::Path as ObjectPath};

use super::{Store, StoreError};

/// A parsed URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A folder as written in the URL.
    Folder(&'a str),
    /// Google Cloud Storage.
    Bucket {
        /// The bucket's name.
        bucket: &'a str,
        /// The prefix of the objects' names; may be empty.
        path: &'a str,
    },
}

pub(super) fn open(url: &str, folder: &Path) -> Result<Store, StoreError> {
    match parse(url) {
        Some(Place::Folder(path)) => open_folder(&absolute(folder, path)),
        Some(Place::Bucket { bucket, path }) => open_bucket(bucket, path),
        None => Err(StoreError::Url { url: url.to_owned() }),
    }
}

/// Parses a URL. A folder is taken literally, without percent-decoding.
pub(super) fn parse(url: &str) -> Option<Place<'_>> {
    if let Some(path) = url.strip_prefix("file://") {
        return (!path.is_empty()).then_some(Place::Folder(path));
    }
    let (bucket, path) = url.strip_prefix("gs://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
    (!bucket.is_empty()).then_some(Place::Bucket { bucket, path: path.trim_matches('/') })
}

fn open_folder(folder: &Path) -> Result<Store, StoreError> {
    let place = format!("file://{}", folder.display());
    let prefix =
        ObjectPath::from_absolute_path(folder).map_err(|source| StoreError::unusable(&place, source))?;
    // Without fsync, a power failure could remove a checkpoint whose messages were already acknowledged.
    let objects = LocalFileSystem::new().with_fsync(true);
    Ok(Store::new(Arc::new(objects), prefix, &place, Some(folder.to_owned())))
}

#[cfg(feature = "cloud")]
fn open_bucket(bucket: &str, path: &str) -> Result<Store, StoreError> {
    super::bucket::open(bucket, path)
}

#[cfg(not(feature = "cloud"))]
fn open_bucket(bucket: &str, path: &str) -> Result<Store, StoreError> {
    let problem = "this build does not include Cloud Storage; build with the default feature `cloud`";
    Err(StoreError::unusable(&format!("gs://{bucket}/{path}"), problem))
}

/// `path` relative to `folder`, without `.` and `..`, which object paths do not support.
fn absolute(folder: &Path, path: &str) -> PathBuf {
    let from = std::fs::canonicalize(folder)
        .or_else(|_| std::path::absolute(folder))
        .unwrap_or_else(|_| folder.to_owned());
    let mut plain = PathBuf::new();
    for component in from.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("file://./state", Some(Place::Folder("./state"))),
            ("file:///var/lib/a b", Some(Place::Folder("/var/lib/a b"))),
            ("gs://bucket", Some(Place::Bucket { bucket: "bucket", path: "" })),
            ("gs://bucket/a/b/", Some(Place::Bucket { bucket: "bucket", path: "a/b" })),
            ("file://", None),
            ("gs:///a", None),
            ("s3://bucket/a", None),
            ("state", None),
            ("", None),
        ];
        for (url, place) in cases {
            assert_eq!(parse(url), place, "{url}");
        }
    }

    #[test]
    fn folders_are_relative_to_the_configuration() {
        let home = tempfile::tempdir().expect("a folder");
        let real = std::fs::canonicalize(home.path()).expect("it exists");
        for (path, expected) in [
            ("./state", real.join("state")),
            ("a/../b", real.join("b")),
            ("../x", real.parent().expect("not the root").join("x")),
            ("/var/./state/", PathBuf::from("/var/state")),
        ] {
            assert_eq!(absolute(home.path(), path), expected, "{path}");
        }
    }
}
