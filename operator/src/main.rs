//! Prints the resources that vision-operator adds to a cluster.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Runs cameras and detection models as Kubernetes resources.
#[derive(Parser)]
#[command(name = "operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the `CustomResourceDefinition`s as YAML, for `kubectl apply -f -`.
    Crds,
}

fn main() -> ExitCode {
    let Arguments { command: Command::Crds } = Arguments::parse();
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
