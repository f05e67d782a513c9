//! The program `aqueduct`. All code is in the library, so that tests and benchmarks can use it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    aqueduct::run()
}
