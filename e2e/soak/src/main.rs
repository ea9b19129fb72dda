//! Runs the analytics pod against cameras that fail, and adds and removes sources, for as long as is asked; then says
//! whether anything was lost, whether every sum is right, and whether memory crept.

mod cycles;
mod faults;
mod ledger;
mod metrics;
mod pod;
mod report;
mod requests;
mod soak;
mod stop;
mod usage;

use std::{env, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use soak::Plan;
use stop::Stop;

/// Exit code where nothing could be found out.
const UNUSABLE: u8 = 2;

/// Watches four simulated cameras that fail, with the released pod as a process of its own, and reports what was lost,
/// which sums are wrong, and whether memory crept. Ctrl-C ends it with the report so far.
#[derive(Debug, Parser)]
struct Args {
    /// How long the cameras are watched while they fail; fractions too. 1 unless --cycles is given.
    #[arg(long, value_parser = hours)]
    hours: Option<Duration>,

    /// Then add and remove this many sources over HTTP while the cameras, well now, are watched on.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    cycles: u32,

    /// The faults and the cycles are drawn from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Seconds from one fault's being over to the next, on average; 0: no faults.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    fault_pause: f64,

    /// Requests a second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    requests: u32,

    /// The pod's program; by default the one beside this.
    #[arg(long)]
    pod: Option<PathBuf>,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn hours(text: &str) -> Result<Duration, String> {
    let hours = text.parse::<f64>().ok().filter(|hours| (0.0..=10_000.0).contains(hours));
    hours.map(|hours| Duration::from_secs_f64(hours * 3600.0)).ok_or_else(|| format!("`{text}` is no number of hours"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| format!("`{text}` is no number of seconds"))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(good) => ExitCode::from(u8::from(!good)),
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Whether all was well.
fn run(args: &Args) -> Result<bool, Box<dyn std::error::Error>> {
    let beside = || env::current_exe().map(|own| own.with_file_name("analytics-pod"));
    let length = match (args.hours, args.cycles) {
        (None, 0) => Duration::from_hours(1),
        (length, _) => length.unwrap_or_default(),
    };
    let plan = Plan {
        pod: args.pod.clone().map_or_else(beside, Ok::<_, io::Error>)?,
        length,
        cycles: args.cycles,
        seed: args.seed,
        fault_pause: (args.fault_pause > 0.0).then(|| Duration::from_secs_f64(args.fault_pause)),
        request_interval: Duration::from_secs(1) / args.requests,
    };
    let report = soak::run(&plan, &Stop::on_signals()?)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.to_table());
    }
    Ok(report.problems.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn hours_may_be_fractions() {
        assert_eq!(hours("0.25"), Ok(Duration::from_mins(15)));
        for wrong in ["", "-1", "an hour", "1e9", "NaN"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }
}
