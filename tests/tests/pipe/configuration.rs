//! Wrong configurations: exit code 2, and exactly what is wrong, where, and what to do.

use anyhow::Result;
use tests::pipe::Pipe;

/// Runs a command with this file and expects these words, and no others.
fn check(command: &str, config: &str, expected: &str) -> Result<()> {
    let pipe = Pipe::bare("configuration")?;
    pipe.write("aqueduct.toml", config)?;
    let ended = pipe.run(&[command])?;
    assert_eq!((ended.code, ended.err.as_str()), (Some(2), expected), "{command} with {config}");
    assert_eq!(ended.out, "");
    Ok(())
}

#[test]
fn what_is_wrong_is_named_with_its_place() -> Result<()> {
    check("connector", "", "?")
}
