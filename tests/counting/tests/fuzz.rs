//! A fixed range of seeds: the product agrees with the naive model. `make fuzz-counting` runs others.

use std::thread;

use counting::{Hunt, hunt, report, shrink};

const CASES: u64 = 3_000;

#[test]
fn the_product_counts_as_the_model() {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (checked, _, finding) = hunt(&Hunt { first: 1, cases: CASES, until: None, threads, counts: false });
    if let Some(finding) = finding {
        panic!("{}", report(&shrink(finding)));
    }
    assert_eq!(checked, CASES);
}
