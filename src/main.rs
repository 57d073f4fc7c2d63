//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    trailwarden::cli::main()
}
