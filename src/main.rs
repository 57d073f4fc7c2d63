//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use trailwarden::cli::Cli;

fn main() -> ExitCode {
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
