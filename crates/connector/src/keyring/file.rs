//! The keyring file: TOML that only its owner may read, replaced as a whole.
//!
//! Errors name lines and numbers of keys, never any content.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use event::EventTime;
use nix::unistd::{getegid, geteuid};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Key, KeyringError};

const HEADER: &str = "\
# Aqueduct's keyring: anyone who has these secrets can find out who a pseudonym belongs to.
# Keep it out of version control, readable by its owner only, and back it up separately from the data.
";

/// Owner only.
const PRIVATE: u32 = 0o600;
const OTHERS: u32 = 0o077;
/// Readable by the owner's group.
const GROUP_READS: u32 = 0o040;

/// Upper bound for the size of an entry in bytes.
const ENTRY_ROOM: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[serde(default)]
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    secret: Zeroizing<String>,
    from: Option<String>,
    created: Option<String>,
}

/// How much of the stack may contain parts of secrets; more than reading a keyring uses.
const SCRUBBED: usize = 64 << 10;

/// The text of the file, and its keys.
pub(super) fn read(path: &Path) -> Result<(Zeroizing<String>, Vec<Key>), KeyringError> {
    let result = read_entries(path);
    scrub_stack();
    result
}

/// Overwrites what this thread's stack has held below this frame. Computing an HMAC leaves the padded secret there, and
/// every move of a value leaves a copy, which no library wipes.
#[inline(never)]
fn scrub_stack() {
    let mut below = Zeroizing::new([0_u8; SCRUBBED]);
    std::hint::black_box(below.as_mut_slice());
}

#[inline(never)]
fn read_entries(path: &Path) -> Result<(Zeroizing<String>, Vec<Key>), KeyringError> {
    let text = read_private(path)?;
    let entries: Entries = toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|&byte| byte == b'\n').count() + 1;
        KeyringError::Syntax { path: path.to_owned(), line }
    })?;
    let mut keys: Vec<Key> = Vec::with_capacity(entries.keys.len());
    for entry in &entries.keys {
        keys.push(key(path, entry, &keys)?);
    }
    if keys.is_empty() { Err(KeyringError::Empty(path.to_owned())) } else { Ok((text, keys)) }
}

pub(super) fn create(path: &Path, now: EventTime) -> Result<(), KeyringError> {
    let mut text = Zeroizing::new(HEADER.to_owned());
    add_entry(&mut text, &[], None, now)?;
    write_new(path, &text).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists if path.is_dir() => KeyringError::Directory(path.to_owned()),
        io::ErrorKind::AlreadyExists => KeyringError::Exists(path.to_owned()),
        io::ErrorKind::NotFound => KeyringError::NoDirectory(path.to_owned()),
        _ => KeyringError::Write { path: path.to_owned(), source },
    })
}

pub(super) fn rotate(path: &Path, at: EventTime, now: EventTime) -> Result<(), KeyringError> {
    // Created before the file is read, so that two rotations cannot both extend the same old text.
    let replacement = Replacement::begin(path)?;
    let (mut text, keys) = read(path)?;
    if at <= now {
        return Err(KeyringError::Past { at, now });
    }
    if let Some(last) = keys.last().and_then(Key::from).filter(|&last| at <= last) {
        return Err(KeyringError::Planned { last });
    }
    add_entry(&mut text, &keys, Some(at), now)?;
    replacement.finish(&text).map_err(|source| KeyringError::Write { path: path.to_owned(), source })
}

/// Reads a file after verifying that it is private. The open file is checked, not its name.
fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyringError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyringError::Missing(path.to_owned()),
        _ => KeyringError::Read { path: path.to_owned(), source },
    };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(KeyringError::Directory(path.to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    let reader = (geteuid().as_raw(), getegid().as_raw());
    if !is_private(mode, (metadata.uid(), metadata.gid()), reader) {
        return Err(KeyringError::Open { path: path.to_owned(), mode });
    }
    // Room for the whole file and one more entry: a string that grows leaves a copy in memory that is not wiped.
    let length = usize::try_from(metadata.len()).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(length + ENTRY_ROOM));
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Whether only the owner may use the file. A secret that Kubernetes mounts belongs to root, and a process that is not
/// root reads it through the group of its pod (`fsGroup`). That is as private, if the group is the process's own.
fn is_private(mode: u32, (owner, group): (u32, u32), (user, own_group): (u32, u32)) -> bool {
    let is_mounted = owner == 0 && user != 0 && group == own_group && group != 0;
    mode & if is_mounted { OTHERS & !GROUP_READS } else { OTHERS } == 0
}

fn key(path: &Path, entry: &Entry, before: &[Key]) -> Result<Key, KeyringError> {
    let (file, number) = (|| path.to_owned(), before.len() + 1);
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=64).contains(&entry.id.len()) || !entry.id.bytes().all(sound) {
        return Err(KeyringError::Id { path: file(), number });
    }
    if before.iter().any(|key| **key.id() == *entry.id) {
        return Err(KeyringError::SameId(file()));
    }
    let secret = secret(&entry.secret).ok_or_else(|| KeyringError::Secret { path: file(), number })?;
    let from = match (&entry.from, before.last()) {
        (None, None) => None,
        (Some(_), None) => return Err(KeyringError::First(file())),
        (text, Some(last)) => {
            let time =
                text.as_deref().and_then(EventTime::from_rfc3339).filter(|&time| last.from() < Some(time));
            Some(time.ok_or_else(|| KeyringError::From { path: file(), number })?)
        }
    };
    let created = entry.created.as_deref().and_then(EventTime::from_rfc3339);
    Ok(Key::new(entry.id.as_str().into(), &secret, from, created))
}

fn secret(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    // Decoding needs room for three more bytes than it returns.
    let mut bytes = Zeroizing::new([0; 36]);
    let length = STANDARD.decode_slice(text.trim(), bytes.as_mut_slice()).ok()?;
    let mut secret = Zeroizing::new([0; 32]);
    if length != secret.len() {
        return None;
    }
    secret.copy_from_slice(&bytes[..length]);
    Some(secret)
}

/// Appends a new key to the text of a keyring.
fn add_entry(
    text: &mut String,
    others: &[Key],
    from: Option<EventTime>,
    now: EventTime,
) -> Result<(), KeyringError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(KeyringError::Random)?;
    let mut encoded = Zeroizing::new([0; 44]);
    STANDARD.encode_slice(secret.as_slice(), encoded.as_mut_slice()).expect("44 characters hold 32 bytes");
    let encoded = std::str::from_utf8(encoded.as_slice()).expect("base64 is ASCII");
    let id = fresh_id(others)?;
    let from = from.map(|from| format!("from = \"{from}\"\n")).unwrap_or_default();
    text.reserve(ENTRY_ROOM);
    write!(text, "\n[[keys]]\nid = \"{id}\"\nsecret = \"{encoded}\"\n{from}created = \"{now}\"\n")
        .expect("writing to memory does not fail");
    Ok(())
}

/// Eight hexadecimal digits that no other key has; they do not depend on the secret.
fn fresh_id(others: &[Key]) -> Result<String, KeyringError> {
    loop {
        let id = format!("{:08x}", getrandom::u32().map_err(KeyringError::Random)?);
        if others.iter().all(|key| **key.id() != *id) {
            return Ok(id);
        }
    }
}

/// A new version of a file: readers see the old one or the new one, never a part. Only one can exist at a time.
struct Replacement {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl Replacement {
    /// Begins to replace the file that `path` leads to.
    fn begin(path: &Path) -> Result<Self, KeyringError> {
        let target = fs::canonicalize(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyringError::Missing(path.to_owned()),
            _ => KeyringError::Read { path: path.to_owned(), source },
        })?;
        let mut name: OsString = target.clone().into();
        name.push(".new");
        let temporary = PathBuf::from(name);
        match new_file(&temporary) {
            Ok(file) => Ok(Self { target, temporary, file }),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeyringError::Busy(temporary))
            }
            Err(source) => Err(KeyringError::Write { path: path.to_owned(), source }),
        }
    }

    fn finish(mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        sync_folder(&self.target)
    }
}

/// Removes the temporary file after a failure; after success that name no longer exists.
impl Drop for Replacement {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a new file and syncs it to disk; a partially written file is removed.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = new_file(path)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| sync_folder(path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(path);
    }
    written
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_secret_is_readable_by_its_group() {
        let (root, pod, other) = (0, 10_001, 10_002);
        for (mode, owner, reader, expected) in [
            (0o600, (pod, pod), (pod, pod), true),
            (0o400, (root, root), (root, root), true),
            (0o440, (root, pod), (pod, pod), true),
            (0o400, (root, pod), (pod, pod), true),
            (0o444, (root, pod), (pod, pod), false),
            (0o460, (root, pod), (pod, pod), false),
            (0o440, (root, other), (pod, pod), false),
            (0o440, (root, root), (pod, root), false),
            (0o440, (root, pod), (root, pod), false),
            (0o440, (pod, pod), (pod, pod), false),
        ] {
            assert_eq!(is_private(mode, owner, reader), expected, "{mode:o} of {owner:?} for {reader:?}");
        }
    }
}
