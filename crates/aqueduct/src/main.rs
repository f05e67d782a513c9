//! aqueduct
fn main() {}
