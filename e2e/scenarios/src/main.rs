//! Puts an installed vision-operator through failures on a real cluster, and measures what its streams felt.

mod cameras;
mod cluster;
mod faults;
mod ledger;
mod objects;
mod published;
mod report;
mod scenario;
mod verdict;

use std::{net::IpAddr, path::PathBuf, process::ExitCode, time::Duration};

use cameras::Cameras;
use clap::{Parser, ValueEnum as _};
use cluster::{Cluster, ScenarioError};
use faults::Faults;
use kube::{Client, Config};
use published::Published;
use report::{End, Outcome};
use scenario::{Scenario, Stage};

/// Puts an installed vision-operator through failures on the cluster of KUBECONFIG, and measures what its streams felt.
/// Each scenario has a namespace that is made for it and deleted after it.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Only these; all where none is named.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,

    /// The namespace that the operator is installed in.
    #[arg(long, default_value = "vision-system")]
    operator_namespace: String,

    /// The namespace that is made, and deleted with all that is in it.
    #[arg(long, default_value = "vision-scenarios")]
    namespace: String,

    /// A program that cuts nodes off, stops the API server and kills containers (see e2e/cluster/fault.sh); what needs it
    /// is skipped without.
    #[arg(long, value_name = "SCRIPT")]
    faults: Option<PathBuf>,

    /// An address of this machine that the cluster's pods reach: cameras of a simulator listen there. Without it pods draw
    /// their pictures themselves, and what needs cameras is skipped.
    #[arg(long, value_name = "IP")]
    camera_address: Option<IpAddr>,

    /// How long rest and chaos take, in seconds.
    #[arg(long, default_value_t = 120)]
    duration: u64,

    /// What chaos is made from: the same seed makes the same faults, as far as the fleet stands alike.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Leave the last namespace as it is, to be looked at.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    // Only the first call installs one; there is no other.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = Args::parse();
    match outcomes(&args) {
        Ok(outcomes) => {
            print!("{}", report::table(&outcomes));
            if outcomes.iter().all(Outcome::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn outcomes(args: &Args) -> Result<Vec<Outcome>, ScenarioError> {
    // The simulator has a runtime of its own, which may neither begin nor end inside another.
    let cameras = Cameras::start(args.camera_address)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| ScenarioError::Unsuitable(error.to_string()))?;
    runtime.block_on(run(args, &cameras))
}

async fn run(args: &Args, cameras: &Cameras) -> Result<Vec<Outcome>, ScenarioError> {
    let mut config = Config::infer().await.map_err(|error| ScenarioError::Unsuitable(error.to_string()))?;
    // An eviction that is refused is asked for again here, not in the client.
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let faults = Faults::new(args.faults.clone());
    let wanted = if args.scenarios.is_empty() { Scenario::value_variants() } else { &args.scenarios };
    let mut outcomes = Vec::new();
    for &scenario in wanted {
        eprintln!("{} …", scenario.name());
        let cluster = Cluster::prepare(client.clone(), &args.namespace).await?;
        let published = Published::follow(cluster.api(), Cluster::pod_selector());
        let stage = Stage {
            cluster: &cluster,
            published: &published,
            cameras,
            faults: &faults,
            operator_namespace: &args.operator_namespace,
            seed: args.seed,
            duration: Duration::from_secs(args.duration),
        };
        let end = tokio::select! {
            measured = scenario.run(&stage) => match measured {
                Ok(rows) => End::Measured(rows),
                Err(ScenarioError::Unsuitable(why)) => End::Skipped(why),
                Err(error) => End::Failed(error.to_string()),
            },
            _ = tokio::signal::ctrl_c() => End::Failed("interrupted".to_owned()),
        };
        let interrupted = end == End::Failed("interrupted".to_owned());
        let outcome = Outcome { scenario: scenario.name(), end };
        eprint!("{}", report::table(std::slice::from_ref(&outcome)));
        outcomes.push(outcome);
        let is_last = interrupted || Some(&scenario) == wanted.last();
        if !(args.keep && is_last) {
            cluster.end().await?;
        }
        if interrupted {
            break;
        }
    }
    Ok(outcomes)
}
