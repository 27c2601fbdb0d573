//! The binary `angarium`.

use std::process::ExitCode;

// glibc's allocator keeps what many threads free; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    angarium_server::cli::main()
}
