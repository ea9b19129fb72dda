//! Parses arguments and wires the rooms together.

use std::process::ExitCode;

use analytics_pod::{
    cli::{Cli, Command},
    commands::{
        StopRequest, bench, check, config, detect, health,
        run::{self, RunContext},
        serve, tell,
    },
    config::Inputs,
    heap, model,
    telemetry::{
        gstreamer_log,
        logging::{self, LogSettings},
    },
};
use clap::Parser;

/// Exit code for arguments or manifests that cannot be used, as clap has it.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    heap::limit_arenas();
    model::forgo_telemetry();
    let cli = Cli::parse();
    match start(&cli) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("error: {error}\n"));
            ExitCode::from(UNUSABLE)
        }
    }
}

fn start(cli: &Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match &cli.command {
        // Asked every few seconds by a container's runtime: no log of its own, which would be the pod's, and no media.
        Command::Health(args) => return Ok(health::health(args)),
        Command::Config { what } => return Ok(config::config(what, cli)?),
        _ => {}
    }
    let inputs = cli.inputs(Inputs::process_environment());
    let effective = inputs.read()?;
    let log = &effective.config.log;
    let answers_and_ends = !matches!(cli.command, Command::Run(_) | Command::Serve(_));
    let is_default = effective.is_default("log.level");
    let mut level = if answers_and_ends && is_default { logging::PROBLEMS.to_owned() } else { log.level.clone() };
    if (is_default || cli.verbose) && gstreamer_log::is_asked_for() {
        // Who sets GST_DEBUG wants to see what it gives.
        level.push_str(",gstreamer=trace");
    }
    let (logs, level) = logging::init(&LogSettings {
        level,
        format: log.format,
        file: log.file.clone(),
        rotation: log.rotation.into(),
    })?;
    gstreamer_log::bridge_gstreamer();
    gstreamer::init()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(execute(cli, RunContext { inputs, effective, logs, level }));
    // A blocking call that has not come back must not hold up the exit (a model's download, say), but for one that would
    // crash in it.
    runtime.shutdown_background();
    model::stop_opening();
    code
}

async fn execute(cli: &Cli, context: RunContext) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let stop = StopRequest::on_signals()?;
    match &cli.command {
        Command::Run(args) => Ok(run::run(args, &stop, context).await?),
        Command::Serve(args) => Ok(serve::serve(args, &stop, context).await?),
        Command::Detect(args) => Ok(tokio::task::block_in_place(|| detect::detect(args, &stop))?),
        Command::Health(args) => Ok(health::health(args)),
        Command::Check(args) => Ok(tokio::task::block_in_place(|| check::check(args, &context.effective))?),
        Command::Bench(args) => Ok(bench::bench(args, &stop).await?),
        Command::Config { what } => Ok(config::config(what, cli)?),
    }
}
