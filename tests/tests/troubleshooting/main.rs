//! `docs/troubleshooting.md` has every error that the code can tell, and each was provoked by a test.

mod page;
mod proofs;
mod said;

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Result, ensure};

use self::{page::Page, proofs::Proofs};

const WRITTEN: &str = "target/troubleshooting.md";
/// How a cell begins that says why no test brings an error about.
const WHY_NOT: &str = "none: ";
/// Errors that no test brings about, and why; whoever adds one answers for it here.
const UNPROVOKED: &[(&str, &str)] = &[
    ("cannot listen for SIGTERM and Ctrl-C", "no system of the tests forbids it"),
    (
        "internal error: a component of the demo ended unexpectedly; please report it",
        "no part ends by itself without an error",
    ),
    (
        "the operating system gave no random bytes for a secret; try again",
        "no system of the tests runs out of them",
    ),
];

#[test]
fn the_page_has_every_error_that_the_code_can_tell() -> Result<()> {
    let texts = said::texts()?;
    let path = Path::new(said::ROOT).join("docs/troubleshooting.md");
    let there = fs::read_to_string(&path)?;
    let page = Page::read(&there)?;
    let renewed = page.renewed(&texts);
    if renewed != there {
        fs::write(Path::new(said::ROOT).join(WRITTEN), &renewed)?;
    }
    let (of_code, of_page): (BTreeSet<_>, BTreeSet<_>) = (texts.keys().collect(), page.texts().collect());
    let missing: Vec<_> = of_code.difference(&of_page).collect();
    let gone: Vec<_> = of_page.difference(&of_code).collect();
    ensure!(
        renewed == there,
        "docs/troubleshooting.md is not what the code says; the renewed page stands in {WRITTEN}: fill its gaps and put \
         it in place\nnot on the page: {missing:#?}\nno longer in the code: {gone:#?}"
    );
    Ok(())
}

#[test]
fn every_error_has_a_remedy_and_was_provoked_by_a_test() -> Result<()> {
    let texts = said::texts()?;
    let page = Page::read(&fs::read_to_string(Path::new(said::ROOT).join("docs/troubleshooting.md"))?)?;
    let proofs = Proofs::read()?;
    let (mut complaints, mut unprovoked) = (Vec::new(), Vec::new());
    for (text, row) in page.rows() {
        if row.remedy.is_empty() {
            complaints.push(format!("{text}: says not what to do"));
        }
        if let Some(why) = row.test.strip_prefix(WHY_NOT) {
            unprovoked.push((text.as_str(), why));
            continue;
        }
        let name = texts.get(text).and_then(|said| said.name.as_deref());
        if let Err(why) = proofs.check(&row.test, text, name) {
            complaints.push(format!("{text}: {why}"));
        }
    }
    ensure!(complaints.is_empty(), "{} rows:\n{}", complaints.len(), complaints.join("\n"));
    ensure!(unprovoked == UNPROVOKED, "errors that are provoked by no test: {unprovoked:#?}");
    Ok(())
}
