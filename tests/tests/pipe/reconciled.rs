//! Generated events through the whole pipeline, and the reports of `reconcile` and `status`.

use crate::prepared;
use anyhow::Result;

#[test]
fn generated_events_are_reconciled() -> Result<()> {
    let pipe = prepared("reconciled", 3)?;
    let traffic = ["--events", "4000", "--broken", "1%", "--duplicates", "1%", "--late", "1%", "--seed", "9"];
    pipe.run_well(&[&["generate"], &traffic[..]].concat())?;
    let before = pipe.run(&["reconcile"])?;
    assert_eq!(before.code, Some(1), "nothing has been carried yet: {}{}", before.out, before.err);

    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    pipe.until_reconciled()?;
    connector.stop()?;
    processor.stop()?;
    let after = pipe.run_well(&["reconcile"])?;
    let status = pipe.run_well(&["status"])?;
    assert!(status.out.contains("4000 ="), "the ledger is not of all 4000 records:\n{}", status.out);
    assert!(after.out.contains("nothing is missing"), "{}", after.out);
    Ok(())
}
