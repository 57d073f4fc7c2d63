//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use trailwarden::cli::Cli;

fn main() -> ExitCode {
    give_memory_back();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            trailwarden::cmd::complain(&format!("error: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(trailwarden::cli::run(cli));
    // A blocking read that hangs must not keep the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Left to itself, glibc learns from the first large object to keep such blocks, in an arena for each of many threads: memory
/// would grow far beyond what objects are allowed. Blocks of a mebibyte go back when freed; the arenas are few.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the allocator is tuned through C")]
    // SAFETY: plain numbers, before any other thread runs.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 4 << 20);
        libc::mallopt(libc::M_ARENA_MAX, 4);
    }
}
