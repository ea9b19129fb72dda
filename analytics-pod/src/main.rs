//! Parses arguments and wires the rooms together.

use std::process::ExitCode;

use analytics_pod::{
    cli::{Cli, Command},
    commands::{StopRequest, bench, check, detect, run},
    heap,
    telemetry::logging::{self, Detail, LogLines},
};
use clap::Parser;

/// Exit code for arguments or manifests that cannot be used, as clap has it.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    heap::limit_arenas();
    let cli = Cli::parse();
    match start(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn start(cli: &Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let detail = match (&cli.command, cli.verbose) {
        (_, true) => Detail::Verbose,
        (Command::Run(_), false) => Detail::Events,
        (Command::Detect(_) | Command::Check(_) | Command::Bench(_), false) => Detail::Problems,
    };
    let logs = logging::init(detail, cli.log_file.as_deref())?;
    gstreamer::init()?;
    logging::bridge_gstreamer();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(execute(cli, logs));
    // A blocking call that has not come back (a model's download, say) must not hold up the exit.
    runtime.shutdown_background();
    code
}

async fn execute(cli: &Cli, logs: LogLines) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let stop = StopRequest::on_signals()?;
    match &cli.command {
        Command::Run(args) => Ok(run::run(args, &stop, logs).await?),
        Command::Detect(args) => Ok(tokio::task::block_in_place(|| detect::detect(args, &stop))?),
        Command::Check(args) => Ok(tokio::task::block_in_place(|| check::check(args))?),
        Command::Bench(args) => Ok(bench::bench(args, &stop).await?),
    }
}
