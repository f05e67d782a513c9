//! Secrets in the memory of a running program: only the prepared hash, nothing from which the secret can be read.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    process::{Child, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::Place;

/// More than the program buffers, so that it has hashed IDs when its first line is written.
const EVENTS: usize = 40_000;
const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;
/// The padding of HMAC.
const PADS: [u8; 2] = [0x36, 0x5c];

#[test]
fn secrets_are_wiped_from_memory() {
    let place = Place::with("[anonymise]\npseudonymise = [\"/user\"]\nforward = \"all\"\n");
    assert_eq!(place.run("keys new").code, Some(0));
    let keyring = String::from_utf8(place.read("keys.toml")).expect("text");
    let text = keyring.lines().find_map(|line| line.strip_prefix("secret = ")).expect("a secret");
    let text = text.trim_matches('"');
    let secret = STANDARD.decode(text).expect("base64");

    let mut child =
        place.command("anonymise").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    let feed = std::thread::spawn(move || {
        let fed = (0..EVENTS).try_for_each(|_| input.write_all(b"{\"user\":\"user-4711\"}\n"));
        // Kept open, so that the program waits for input while its memory is searched.
        (fed, input)
    });
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert!(line.starts_with("{\"user\":\"") && line.len() == "{\"user\":\"\"}\n".len() + 22, "{line}");

    let memory = Memory::of(&child);
    assert!(memory.holds(b"user-4711"), "the search works");
    let padded = PADS.map(|pad| secret.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>());
    for (what, bytes) in [
        ("text", text.as_bytes()),
        ("bytes", secret.as_slice()),
        ("inner pad", padded[0].as_slice()),
        ("outer pad", padded[1].as_slice()),
    ] {
        assert!(!memory.holds(bytes), "the secret's {what} can be read in memory");
        // Half of it would be enough, too.
        assert!(
            !memory.holds(&bytes[..bytes.len() / 2]),
            "half of the secret's {what} can be read in memory"
        );
    }
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    let (fed, input) = feed.join().expect("it ends");
    fed.expect("the program reads");
    drop(input);
    assert!(child.wait().expect("it ends").success());
}

/// The writable memory of a process: the resident pages of its stacks, heap and data.
struct Memory(Vec<Vec<u8>>);

impl Memory {
    fn of(child: &Child) -> Self {
        let file = |name: &str| format!("/proc/{}/{name}", child.id());
        let maps = fs::read_to_string(file("maps")).expect("Linux reports it");
        let [mut memory, mut pages] =
            ["mem", "pagemap"].map(|name| File::open(file(name)).expect("a parent may look"));
        let mut parts = Vec::new();
        for line in
            maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
        {
            let (from, to) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
            let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).expect("an address") / PAGE);
            let mut present = vec![0; usize::try_from((to - from) * 8).expect("it fits")];
            pages.seek(SeekFrom::Start(from * 8)).expect("a place");
            pages.read_exact(&mut present).expect("an entry a page");
            let mut part = Vec::new();
            for (page, entry) in (from..).zip(present.chunks(8)) {
                // Bit 63 of an entry, little-endian on the supported platforms.
                if entry[7] & 0x80 != 0 {
                    let before = part.len();
                    part.resize(before + PAGE_BYTES, 0);
                    memory.seek(SeekFrom::Start(page * PAGE)).expect("a place");
                    if memory.read_exact(&mut part[before..]).is_err() {
                        part.truncate(before);
                    }
                }
            }
            parts.push(part);
        }
        Self(parts)
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|part| memchr::memmem::find(part, bytes).is_some())
    }
}
