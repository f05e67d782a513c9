//! `aqueduct demo` needs no services, and Ctrl-C ends it with a summary.

use anyhow::Result;
use nix::sys::signal::Signal;
use tests::pipe::Pipe;

#[test]
fn ctrl_c_ends_the_demo_cleanly() -> Result<()> {
    let pipe = Pipe::bare("demo")?;
    let mut demo = pipe.start(&["demo", "--duration", "60s", "--rate", "50"])?;
    demo.says("first rows after")?;
    demo.signal(Signal::SIGINT)?;
    let ended = demo.ended()?;
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("All records are accounted for."), "{}", ended.out);
    assert!(ended.out.contains("sqlite3 -box demo.db"), "{}", ended.out);
    assert!(pipe.path("demo.db").is_file());
    Ok(())
}
