//! A search for IDs in all output: in plain form, in any usual encoding, or hashed without a key.
//!
//! The forms are computed by `canary.py`, so that they share no code with the product.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result, bail, ensure};

/// The magic bytes of a Zstandard frame.
const FRAME: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// The forms to search for, and how many bytes were searched.
pub struct Search {
    forms: AhoCorasick,
    count: usize,
    bytes: u64,
}

impl Search {
    /// A case-insensitive search for IDs.
    ///
    /// # Errors
    /// python3 is not installed.
    pub fn of(ids: &[String]) -> Result<Self> {
        let forms = forms(ids)?;
        ensure!(forms.len() > 20 * ids.len(), "only {} forms of {} ids", forms.len(), ids.len());
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(&forms)?;
        Ok(Self { forms: automaton, count: forms.len(), bytes: 0 })
    }

    /// Number of forms.
    pub fn forms(&self) -> usize {
        self.count
    }

    /// Number of bytes searched.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Searches bytes.
    ///
    /// # Errors
    /// An ID was found; the error shows its context.
    pub fn look(&mut self, what: &str, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let Some(found) = self.forms.find(bytes) else { return Ok(()) };
        let (from, to) = (found.start().saturating_sub(200), (found.end() + 200).min(bytes.len()));
        bail!(
            "{what} contains an ID at byte {}: {}",
            found.start(),
            String::from_utf8_lossy(&bytes[from..to])
        )
    }

    /// Searches every file below a path, and compressed contents.
    ///
    /// # Errors
    /// As [`look`](Self::look); or a file cannot be read.
    pub fn look_below(&mut self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                self.look_below(&entry?.path())?;
            }
            return Ok(());
        }
        match fs::read(path) {
            Ok(bytes) => {
                self.look(&name, &bytes)?;
                for content in opened(&bytes) {
                    self.look(&name, &content)?;
                }
                Ok(())
            }
            // A running program has deleted the file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).context(name),
        }
    }
}

/// The compressed content of a file; a checkpoint has a header before it.
pub fn opened(bytes: &[u8]) -> Vec<Vec<u8>> {
    let starts = (0..bytes.len()).filter(|start| bytes[*start..].starts_with(&FRAME));
    let content = |start: usize| {
        let mut content = Vec::new();
        let frame = zstd::Decoder::new(&bytes[start..]).ok()?.single_frame().read_to_end(&mut content);
        frame.is_ok().then_some(content)
    };
    starts.filter_map(content).collect()
}

fn forms(ids: &[String]) -> Result<Vec<Vec<u8>>> {
    let mut python = Command::new("python3")
        .args(["-c", include_str!("canary.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("python3 cannot be started")?;
    let list = serde_json::to_vec(ids)?;
    python.stdin.take().context("it is piped")?.write_all(&list)?;
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "python3 ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(bytes).collect()
}

fn bytes(hexadecimal: &str) -> Result<Vec<u8>> {
    let pairs = (0..hexadecimal.len()).step_by(2).map(|n| &hexadecimal[n..n + 2]);
    pairs.map(|pair| Ok(u8::from_str_radix(pair, 16)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forms of two IDs, computed with openssl and coreutils.
    const FORMS: [&str; 14] = [
        "user=canary-jürgen-1!",
        "canary-j\\u00FCrgen-1!",
        "canary-j%C3%BCrgen-1%21",
        "63616e6172792d6ac3bc7267656e2d3121",
        "Y2FuYXJ5LWrDvHJnZW4tMSE=",
        "eGNhbmFyeS1qw7xyZ2VuLTEh",
        "eHhjYW5hcnktasO8cmdlbi0xIQ",
        "MNQW4YLSPEWWVQ54OJTWK3RNGEQQ",
        // MD5, SHA-1 and SHA-256.
        "17b580207ecc5ede2a43b89bc34cc8f3",
        "B52340B4DE4566B804C9880AA0B4AF5F",
        "e8fed7c5621fcc32f5db606fefee7c98f36cc2fa",
        "3mUNYfW9FmqR+MzsMVgpfbGLnVDq7cojjNKdw6IUqRY=",
        "6P7XxWIfzDL122Bv7-58mPNswvo",
        "52161be52e761c8e50e46f247294fc70",
    ];

    #[test]
    fn every_form_is_found() -> Result<()> {
        let ids = ["canary-jürgen-1!".to_owned(), "4711".to_owned()];
        let mut search = Search::of(&ids)?;
        for form in FORMS {
            let around = format!("before {form} behind");
            ensure!(search.look("it", around.as_bytes()).is_err(), "{form} is not found");
        }
        search.look("it", b"another user, 4711 of them")?;
        Ok(())
    }

    #[test]
    fn compressed_files_are_searched() -> Result<()> {
        let frame = zstd::bulk::compress(b"canary-4711", 1)?;
        let file = [b"AQUEDUCT header".as_slice(), &frame].concat();
        assert_eq!(opened(&file), [b"canary-4711"]);
        Ok(())
    }
}
