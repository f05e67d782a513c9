//! The destination of lines: a file, compressed with gzip or Zstandard according to its name, or standard
//! output.
//!
//! A file is replaced only once everything is written, so an interrupted command leaves the old one. A new
//! file is readable by its owner only; a replaced file keeps its mode.

use std::{
    fmt::Display,
    fs::{File, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use flate2::{Compression, write::GzEncoder};
use tempfile::NamedTempFile;

/// A destination for lines. Without [`Output::finish`] no file is created.
#[derive(Debug)]
pub(crate) struct Output {
    name: String,
    encoder: Encoder,
}

/// Standard output was closed by its reader; carried within an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct StdoutClosed;

enum Encoder {
    Plain(BufWriter<Target>),
    Gzip(GzEncoder<BufWriter<Target>>),
    Zstd(zstd::Encoder<'static, BufWriter<Target>>),
}

#[derive(Debug)]
enum Target {
    Stdout(io::Stdout),
    /// A pipe or a device.
    Special(File),
    Replace {
        file: NamedTempFile,
        path: PathBuf,
    },
}

/// Wide enough for few system calls, narrow enough for the cache.
const BUFFER: usize = 256 << 10;
/// The temporary file.
const PRIVATE: u32 = 0o600;

impl Output {
    /// Opens a destination: `-` is standard output, a name in `.gz` or `.zst` compresses.
    ///
    /// # Errors
    /// The directory does not exist or is not writable.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let name =
            if path == Path::new("-") { "standard output".to_owned() } else { path.display().to_string() };
        let target = Target::open(path).with_context(|| format!("cannot write {name}"))?;
        let buffered = BufWriter::with_capacity(BUFFER, target);
        let encoder = match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Encoder::Gzip(GzEncoder::new(buffered, Compression::fast())),
            Some("zst") => Encoder::Zstd(zstd::Encoder::new(buffered, zstd::DEFAULT_COMPRESSION_LEVEL)?),
            _ => Encoder::Plain(buffered),
        };
        Ok(Self { name, encoder })
    }

    /// The file, or `standard output`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Completes the file and moves it into place.
    ///
    /// # Errors
    /// The rest cannot be written, for example because the disk is full. An existing file is unchanged.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let name = self.name;
        self.encoder.finish().with_context(|| format!("cannot write {name}"))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.encoder {
            Encoder::Plain(writer) => writer.write(bytes),
            Encoder::Gzip(writer) => writer.write(bytes),
            Encoder::Zstd(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Plain(writer) => writer.flush(),
            Encoder::Gzip(writer) => writer.flush(),
            Encoder::Zstd(writer) => writer.flush(),
        }
    }
}

impl Encoder {
    fn finish(self) -> io::Result<()> {
        let buffered = match self {
            Self::Plain(buffered) => buffered,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        buffered.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
    }
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout(io::stdout()));
        }
        // Through links, so that they stay links.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return File::options().write(true).open(&path).map(Self::Special);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".aqueduct-")
            .permissions(Permissions::from_mode(PRIVATE))
            .tempfile_in(folder)?;
        Ok(Self::Replace { file, path })
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::Stdout(_) | Self::Special(_) => Ok(()),
            Self::Replace { file, path } => {
                if let Ok(replaced) = path.metadata() {
                    file.as_file().set_permissions(replaced.permissions())?;
                }
                file.as_file().sync_all()?;
                file.persist(path).map(drop).map_err(|error| error.error)
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes).map_err(mark_closed),
            Self::Special(file) => file.write(bytes),
            Self::Replace { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush().map_err(mark_closed),
            Self::Special(file) => file.flush(),
            Self::Replace { file, .. } => file.flush(),
        }
    }
}

/// Writes text to standard output.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    Ok(io::stdout().write_all(text.as_bytes()).map_err(mark_closed)?)
}

/// Writes one line to standard output.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn say(line: impl Display) -> anyhow::Result<()> {
    print(&format!("{line}\n"))
}

/// Distinguishes a closed standard output from other broken pipes.
fn mark_closed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, StdoutClosed),
        _ => error,
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn write(path: &Path, text: &str) -> Output {
        let mut output = Output::create(path).expect("a file in a folder of ours");
        output.write_all(text.as_bytes()).expect("room");
        output
    }

    #[test]
    fn the_name_chooses_the_compression() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("the file");
        for name in ["a.ndjson", "a.ndjson.gz", "a.ndjson.zst"] {
            write(&folder.path().join(name), "one\ntwo\n").finish().expect("room");
        }
        assert_eq!(read("a.ndjson"), b"one\ntwo\n");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&read("a.ndjson.gz")[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(text, "one\ntwo\n");
        assert_eq!(zstd::decode_all(&read("a.ndjson.zst")[..]).expect("Zstandard"), b"one\ntwo\n");
    }

    #[test]
    fn a_file_is_replaced_only_when_complete() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows");
        std::fs::write(&path, "old").expect("room");
        drop(write(&path, "new"));
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "old");
        write(&path, "new").finish().expect("room");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "new");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "nothing else is left");
    }

    #[test]
    fn a_replaced_file_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows");
        let mode = || path.metadata().expect("the file").permissions().mode() & 0o777;
        write(&path, "one").finish().expect("room");
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is our file");
        write(&path, "two").finish().expect("room");
        assert_eq!(mode(), 0o644);
    }

    #[test]
    fn a_device_is_not_replaced() {
        write(Path::new("/dev/null"), "gone").finish().expect("it takes everything");
        assert!(!Path::new("/dev/null").metadata().expect("the device").is_file());
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Output::create(Path::new("/nowhere/rows")).expect_err("no such folder");
        assert_eq!(error.to_string(), "cannot write /nowhere/rows");
    }
}
