//! Parse, run, exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use trailwarden::cli::Cli;

/// The ledger is closed within this time; a blocking read that hangs does not keep the process for longer.
const CLOSING: Duration = Duration::from_secs(1);

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
    runtime.shutdown_timeout(CLOSING);
    ExitCode::from(code)
}
