//! Claims of docs/privacy.md, tested from outside: pseudonyms match another implementation, ambiguous records are
//! rejected, missing keys stop a replica, and files are private.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use serde_json::{Value, json};

use crate::support::{Place, until};

/// Reads the keyring and IDs, and prints the pseudonym of each.
const PYTHON: &str = r#"
import base64, datetime, hashlib, hmac, json, sys, tomllib
keys = tomllib.load(open("keys.toml", "rb"))["keys"]
def milliseconds(key):
    time = key.get("from")
    return -1 if time is None else datetime.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() * 1000
for line in open("ids.ndjson", encoding="utf-8"):
    event = json.loads(line)
    key = [key for key in keys if milliseconds(key) <= event["time"]][-1]
    secret, id = base64.b64decode(key["secret"]), event["id"]
    text = id if isinstance(id, str) else json.dumps(id)
    digest = hmac.new(secret, text.encode("utf-8"), hashlib.sha256).digest()
    print(base64.urlsafe_b64encode(digest[:16]).decode().rstrip("="))
"#;

const ROTATED_AT: &str = "2999-01-01T00:00:00Z";
const ROTATED_AT_MILLISECONDS: i64 = 32_472_144_000_000;
const IDS: usize = 2_000;

/// Strings of all lengths and alphabets, integers of all sizes, `true` and `false`.
fn ids(seed: u64) -> Vec<Value> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |limit: u64| random.next_u64() % limit;
    let mut ids = vec![json!(""), json!(true), json!(false), json!(0), json!(i64::MIN), json!(u64::MAX)];
    while ids.len() < IDS {
        ids.push(match below(4) {
            0 => json!(below(1 << 40)),
            1 => json!(format!("user-{}", below(1_000_000))),
            _ => {
                let length = below(200);
                let letters =
                    (0..length).filter_map(|_| char::from_u32(u32::try_from(below(0x11_0000)).ok()?));
                json!(letters.collect::<String>())
            }
        });
    }
    ids
}

#[test]
fn pseudonyms_match_pythons_hmac() {
    let place = Place::with(
        "[anonymise]\npseudonymise = [\"/id\", \"/again/*\"]\nforward = [\"/id\", \"/again\", \"/time\"]\n[events]\ntime = \"/time\"\n",
    );
    assert_eq!(place.run("keys new").code, Some(0));
    assert_eq!(place.run(&format!("keys rotate --at {ROTATED_AT}")).code, Some(0));
    // A random seed; a failure shows the ID.
    let seed = u64::from(std::process::id());
    let events: String = (0..)
        .zip(ids(seed))
        .map(|(n, id)| {
            // Half of them on each side of the rotation, and the two next to it.
            let time = ROTATED_AT_MILLISECONDS - 1_000 + n;
            let text = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            format!("{}\n", json!({"id": id, "time": time, "again": [text]}))
        })
        .collect();
    place.write("ids.ndjson", &events);
    let ours = place.run_with("anonymise", &events);
    assert_eq!((ours.code, ours.err.as_str()), (Some(0), ""));
    let python = Command::new("python3").args(["-c", PYTHON]).current_dir(place.folder()).output();
    let python = python.expect("python3 is there");
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let theirs = String::from_utf8(python.stdout).expect("text");
    assert_eq!(ours.out.lines().count(), IDS);
    assert_eq!(theirs.lines().count(), IDS);
    for ((event, ours), theirs) in events.lines().zip(ours.out.lines()).zip(theirs.lines()) {
        let ours: Value = serde_json::from_str(ours).expect("JSON");
        assert_eq!(ours["id"], theirs, "{event}");
        assert_eq!(ours["again"][0], theirs, "the same id as a text, in another field: {event}");
    }
}

/// Every rejected shape, and its reason. `SECRET` is the content that must not be printed.
const REFUSED: &[(&str, &str)] = &[
    // In place of a scalar.
    (r#"{"user":{"SECRET":1}}"#, r#"unexpected-shape at "/user", byte 8"#),
    (r#"{"user":["SECRET"]}"#, r#"unexpected-shape at "/user", byte 8"#),
    (r#"{"user":[]}"#, r#"unexpected-shape at "/user", byte 8"#),
    (r#"{"page":["SECRET"]}"#, r#"unexpected-shape at "/page", byte 8"#),
    (r#"{"page":{"SECRET":1}}"#, r#"unexpected-shape at "/page", byte 8"#),
    (r#"{"page":4711}"#, r#"unexpected-shape at "/page", byte 8"#),
    (r#"{"page":true}"#, r#"unexpected-shape at "/page", byte 8"#),
    // A member name into an array or a scalar.
    (r#"{"session":["SECRET"]}"#, r#"unexpected-shape at "/session/user", byte 11"#),
    (r#"{"session":[{"user":"SECRET"}]}"#, r#"unexpected-shape at "/session/user", byte 11"#),
    (r#"{"session":"SECRET"}"#, r#"unexpected-shape at "/session/user", byte 11"#),
    (r#"{"session":4711}"#, r#"unexpected-shape at "/session/user", byte 11"#),
    (r#"{"session":true}"#, r#"unexpected-shape at "/session/user", byte 11"#),
    (r#"{"items":["SECRET"]}"#, r#"unexpected-shape at "/items/*/seller", byte 10"#),
    (r#"{"items":[["SECRET"]]}"#, r#"unexpected-shape at "/items/*/seller", byte 10"#),
    (r#"{"items":{"SECRET":"SECRET"}}"#, r#"unexpected-shape at "/items/*/seller", byte 19"#),
    (r#"{"device":"ip=SECRET"}"#, r#"unexpected-shape at "/device/ip", byte 10"#),
    (r#"{"device":["SECRET"]}"#, r#"unexpected-shape at "/device/ip", byte 10"#),
    // An index into a string or another scalar.
    (r#"{"first":"SECRET"}"#, r#"unexpected-shape at "/first/0", byte 9"#),
    (r#"{"first":4711}"#, r#"unexpected-shape at "/first/0", byte 9"#),
    (r#"{"any":"SECRET"}"#, r#"unexpected-shape at "/any/*", byte 7"#),
    // Numbers that cannot be represented.
    (r#"{"user":1e999}"#, r#"number at "/user", byte 8"#),
    (r#"{"user":-1e-999}"#, r#"number at "/user", byte 8"#),
    (r#"{"user":1e99999999999999999999}"#, r#"number at "/user", byte 8"#),
    // URLs that may contain a user name.
    (r#"{"page":"https://SECRET:p?w@shop.example/"}"#, r#"not-a-url at "/page", byte 8"#),
    (r#"{"page":"https://SECRET@ho st/"}"#, r#"not-a-url at "/page", byte 8"#),
    // Duplicate names, which readers may interpret differently, at every depth, declared or not.
    (r#"{"user":"u1","user":"SECRET"}"#, "duplicate-member at byte 13"),
    (r#"{"SECRET":1,"SECRET":2}"#, "duplicate-member at byte 12"),
    (r#"{"x":[{"y":{"SECRET":1,"SECRET":1}}]}"#, "duplicate-member at byte 23"),
    (r#"{"user":"u1","us\u0065r":"SECRET"}"#, "duplicate-member at byte 13"),
    (r#"{"x":{"SECRET/":1,"SECRET\/":1}}"#, "duplicate-member at byte 18"),
    (r#"{"us\u0065r":["SECRET"]}"#, r#"unexpected-shape at "/user", byte 13"#),
    // Half of a surrogate pair.
    (r#"{"x":"SECRET\ud800"}"#, "lone-surrogate at byte 12"),
    (r#"{"user":"\udc00SECRET"}"#, "lone-surrogate at byte 9"),
    (r#"{"device":{"ip":"\ud800\u0041SECRET"}}"#, "lone-surrogate at byte 17"),
    // After the event.
    (r#"{"x":1} SECRET"#, "trailing-data at byte 8"),
    (r#"{"x":1}{"user":"SECRET"}"#, "trailing-data at byte 7"),
    (r#"{"x":1},"#, "trailing-data at byte 7"),
    // Not an event.
    (r#"["SECRET"]"#, "not-an-object at byte 0"),
    (r#""SECRET""#, "not-an-object at byte 0"),
    ("null", "not-an-object at byte 0"),
    ("SECRET", "not-json at byte 0"),
    (r#"{"user":"SECRET""#, "not-json at byte 16"),
    (r#"{"user":'SECRET'}"#, "not-json at byte 8"),
    (r#"{"user":01}"#, "not-json at byte 9"),
];

const RULES: &str = r#"
[anonymise]
pseudonymise = ["/user", "/session/user", "/items/*/seller", "/first/0", "/any/*"]
remove = ["/device/ip", "/gone"]
strip_query = ["/page"]
forward = "all"
"#;

#[test]
fn every_unexpected_shape_is_rejected() {
    let place = Place::with(RULES);
    assert_eq!(place.run("keys new").code, Some(0));
    const SECRET_VALUE: &str = "s3cr3t4711";
    let lines: Vec<String> = REFUSED.iter().map(|(line, _)| line.replace("SECRET", SECRET_VALUE)).collect();
    let deep =
        |depth: usize| format!("{{\"gone\":{}{SECRET_VALUE:?}{}}}", "[".repeat(depth), "]".repeat(depth));
    // Separate lines: invalid UTF-8 in a value and in a name, and too deep nesting.
    let mut input: Vec<Vec<u8>> = lines.iter().map(|line| line.clone().into_bytes()).collect();
    input.push([b"{\"user\":\"", SECRET_VALUE.as_bytes(), b"\xff\"}"].concat());
    input.push([b"{\"", SECRET_VALUE.as_bytes(), b"\xc3\":1}"].concat());
    input.push(deep(128).into_bytes());
    let run = place.run_with("anonymise", input.join(&b'\n'));
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "nothing of them is published");
    let expected = REFUSED.iter().map(|(line, reason)| {
        // The table has byte positions with the placeholder; the longer secret shifts those after it.
        let (text, at) = reason.rsplit_once(' ').expect("a place");
        let at: usize = at.parse().expect("a byte");
        let longer = SECRET_VALUE.len() - "SECRET".len();
        let before = line.match_indices("SECRET").filter(|(place, _)| *place < at).count();
        format!("{text} {}", at + longer * before)
    });
    let expected = expected.chain([
        format!("invalid-utf8 at byte {}", 9 + SECRET_VALUE.len()),
        format!("invalid-utf8 at byte {}", 2 + SECRET_VALUE.len()),
        "too-deep at byte 135".to_owned(),
    ]);
    for (n, (expected, line)) in (1..).zip(expected.zip(run.err.lines())) {
        assert_eq!(
            line,
            format!("line {n}: rejected: {expected}"),
            "{}",
            String::from_utf8_lossy(&input[n - 1])
        );
    }
    assert_eq!(run.err.lines().count(), input.len());
    assert!(!run.err.contains(SECRET_VALUE) && !run.err.contains("4711"), "{}", run.err);
}

#[test]
fn null_and_missing_fields_pass() {
    let place = Place::with(RULES);
    assert_eq!(place.run("keys new").code, Some(0));
    for (event, expected) in [
        ("{}", "{}"),
        (
            r#"{"user":null,"session":null,"items":null,"page":null,"first":null,"any":null,"device":null}"#,
            r#"{"user":null,"session":null,"items":null,"page":null,"first":null,"any":null,"device":null}"#,
        ),
        (
            r#"{"session":{},"items":[],"first":[],"any":{},"device":{}}"#,
            r#"{"session":{},"items":[],"first":[],"any":{},"device":{}}"#,
        ),
        (
            r#"{"session":{"user":null},"items":[null,{"seller":null}]}"#,
            r#"{"session":{"user":null},"items":[null,{"seller":null}]}"#,
        ),
        (r#"{"gone":1,"x":2}"#, r#"{"x":2}"#),
        (r#"{"gone":{"a":[{"b":"c"}]},"x":2}"#, r#"{"x":2}"#),
        (r#"{"x":2,"gone":[[],{},null]}"#, r#"{"x":2}"#),
        (r#"{"device":{"ip":{"v4":"10.0.0.1"},"x":1}}"#, r#"{"device":{"x":1}}"#),
        (r#"{"page":"https://a.example/b?c=d#e"}"#, r#"{"page":"https://a.example/b"}"#),
    ] {
        let run = place.run_with("anonymise", event);
        assert_eq!((run.code, run.out.trim_end(), run.err.as_str()), (Some(0), expected, ""), "{event}");
    }
    let listed = Place::with("[anonymise]\nforward = [\"/a\", \"/l/*/b\", \"/o/*\"]\n");
    let event =
        r#"{"a":{"all":["of",{"it":1}]},"z":1,"l":[{"b":1,"c":2},{"c":3}],"o":{"any":{"z":1}},"y":{"a":1}}"#;
    let run = listed.run_with("anonymise", event);
    let expected = r#"{"a":{"all":["of",{"it":1}]},"l":[{"b":1},{}],"o":{"any":{"z":1}}}"#;
    assert_eq!((run.code, run.out.trim_end()), (Some(0), expected), "{}", run.err);
}

#[test]
fn a_replica_without_newest_key_stops() {
    let place = Place::with(&format!("{RULES}[events]\ntime = \"/time\"\n"));
    assert_eq!(place.run("keys new").code, Some(0));
    let old = place.read("keys.toml");
    let rotated = place.run(&format!("keys rotate --at {ROTATED_AT}"));
    let id = rotated.out.split_whitespace().nth(2).expect("the key's id").to_owned();
    let hint = format!("newest_key = \"{id}\"");
    assert!(rotated.out.contains(&hint), "{}", rotated.out);
    place.write(
        "aqueduct.toml",
        format!(
            "{RULES}{hint}\n[events]\ntime = \"/time\"\n[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\ntopics = [\"t\"]\n\
             group_id = \"g\"\n[pubsub]\nproject = \"project\"\ntopic = \"topic\"\nemulator_host = \"127.0.0.1:1\"\n"
        ),
    );
    let event = "{\"user\":\"u1\",\"time\":0}\n";
    assert_eq!(place.run_with("anonymise", event).code, Some(0), "the keyring has it");
    // A replica without the new key.
    place.write("keys.toml", old);
    let lacks = format!("keyring keys.toml does not contain the key \"{id}\"");
    for command in ["connector", "anonymise"] {
        let run = place.run_with(command, event);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{command}: {}", run.err);
        assert!(run.err.contains(&lacks), "{command}: {}", run.err);
    }
    place.write("aqueduct.toml", format!("{RULES}{hint}\n[events]\ntime = \"/time\"\n"));
    let check = place.run("check");
    assert!(check.code == Some(1) && check.out.contains(&format!("FAILED  {lacks}")), "{}", check.out);
}

const MINIMAL: &str = r#"
[kafka]
bootstrap_servers = "127.0.0.1:1"
topics = ["t"]
group_id = "g"
[pubsub]
project = "project"
topic = "topic"
emulator_host = "127.0.0.1:1"
[anonymise]
forward = "all"
"#;

#[test]
fn the_page_is_local_by_default() {
    const WARNING: &str = "the admin server is reachable from other hosts";
    for (service, said, warned) in [
        // The port may be in use; then the address is in the error.
        ("", "127.0.0.1:9464", false),
        ("[service]\nlisten = \"localhost:0\"\n", "metrics and probes", false),
        ("[service]\nlisten = \"0.0.0.0:0\"\n", "metrics and probes", true),
    ] {
        let place = Place::with(&format!("{MINIMAL}{service}"));
        let running = place.start("connector");
        until(said, || String::from_utf8_lossy(&place.read(".err")).contains(said).then_some(()));
        running.signal("TERM");
        let run = running.wait();
        assert_eq!(run.err.contains(WARNING), warned, "{service}: {}", run.err);
        assert_eq!(
            run.err.lines().filter(|line| line.contains("WARN") && line.contains(WARNING)).count(),
            usize::from(warned)
        );
    }
}

/// The mode of each file and directory below a directory, except those that the test wrote.
fn modes(folder: &Path, ours: &[&str]) -> BTreeMap<PathBuf, u32> {
    let mut modes = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("it is there");
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if metadata.is_dir() {
            modes.extend(modes_below(&path));
        }
        if !ours.contains(&name) {
            modes.insert(path.clone(), metadata.mode() & 0o777);
        }
    }
    modes
}

fn modes_below(folder: &Path) -> BTreeMap<PathBuf, u32> {
    modes(folder, &[])
}

#[test]
fn files_are_private() {
    let config = include_str!("../../../../examples/shop/aqueduct.toml");
    let place = Place::with(config);
    let ours = ["aqueduct.toml", ".input", "events.ndjson"];
    place.write("events.ndjson", include_str!("../../../../examples/shop/events.ndjson"));
    for command in [
        "keys new --keyring keys.toml",
        "generate --events 10 --output made.ndjson",
        "generate --events 10 --output made.ndjson.zst",
        "replay --output rows.ndjson events.ndjson",
        "replay --output rows.ndjson.gz events.ndjson",
        "replay --output rows.db events.ndjson",
    ] {
        let run = place.run(command);
        assert_eq!(run.code, Some(0), "{command}: {}", run.err);
    }
    let found = modes(place.folder(), &ours);
    for name in ["keys.toml", "made.ndjson", "made.ndjson.zst", "rows.ndjson", "rows.ndjson.gz", "rows.db"] {
        assert_eq!(found.get(&place.path(name)), Some(&0o600), "{name} in {found:?}");
    }
    let open: Vec<_> = found.iter().filter(|(_, mode)| **mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "others may use {open:?}");
    // The mode that a user set is kept.
    for name in ["rows.ndjson", "rows.db"] {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o640)).expect("it is ours");
        assert_eq!(place.run(&format!("replay --output {name} events.ndjson")).code, Some(0));
        assert_eq!(place.path(name).metadata().expect("a file").mode() & 0o777, 0o640, "{name}");
    }
    // Manual pages are public.
    assert_eq!(place.run("man pages").code, Some(0));
    let page = place.path("pages/aqueduct.1").metadata().expect("a page");
    assert_eq!(page.mode() & 0o044, 0o044, "a page must be readable");
}
