//! The program `aqueduct`. Everything is in the library, so that tests and benches reach it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aqueduct::run()
}
