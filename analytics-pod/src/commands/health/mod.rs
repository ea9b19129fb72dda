//! `analytics-pod health`: how a running pod does, in a word and an exit code.

mod remote;
mod report;

use std::process::ExitCode;

use jiff::Timestamp;
use remote::Remote;
use report::Report;

use crate::cli::{HealthArgs, OutputFormat};

/// Asks, prints, and says it as an exit code: 0 healthy, 1 degraded, 2 unhealthy, 3 nobody answers; with `--live` 0 or
/// 1, which is all that containers' runtimes know.
#[must_use]
pub fn health(args: &HealthArgs) -> ExitCode {
    let report = match Remote::new(args).and_then(|remote| report::ask(&remote, args)) {
        Ok(report) => report,
        Err(error) => Report::unreachable(&args.address, &error.to_string()),
    };
    let text = match args.output {
        OutputFormat::Table => report.to_table(Timestamp::now()),
        OutputFormat::Json => report.to_json(),
    };
    // That nobody answers is an error of the question; a program that reads JSON reads it where it reads the rest.
    if report.is_answered() || args.output == OutputFormat::Json {
        if let Err(error) = super::print(&text) {
            // The exit code is the answer all the same.
            eprintln!("error: standard output: {error}");
        }
    } else {
        eprint!("{text}");
    }
    ExitCode::from(if args.live { u8::from(report.exit_code() > 0) } else { report.exit_code() })
}
