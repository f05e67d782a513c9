//! `aqueduct demo` needs nothing, and Ctrl-C ends it with a summary that balances.

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
    assert!(ended.out.contains("Everything balances."), "{}", ended.out);
    assert!(ended.out.contains("sqlite3 -box demo.db"), "{}", ended.out);
    assert!(pipe.path("demo.db").is_file());
    Ok(())
}
