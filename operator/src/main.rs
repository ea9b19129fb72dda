//! Runs cameras and detection models in a cluster, or prints the resources that they are.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use operator::run::{self, Flags};

/// Runs cameras and detection models as Kubernetes resources.
#[derive(Parser)]
#[command(name = "operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the VideoSources and DetectionModels of a cluster.
    Run(Box<Flags>),
    /// Print the `CustomResourceDefinition`s as YAML, for `kubectl apply -f -`.
    Crds,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(flags) => match run::run(&flags) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("operator: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Crds => print_crds(),
    }
}

fn print_crds() -> ExitCode {
    let manifests = match crds::manifests() {
        Ok(manifests) => manifests,
        Err(error) => {
            eprintln!("operator: {error}");
            return ExitCode::FAILURE;
        }
    };
    match io::stdout().write_all(manifests.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("operator: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
    }
}
