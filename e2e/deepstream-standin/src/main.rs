//! Lays the stand-in out as an installation of DeepStream.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use deepstream_standin::{Version, install};

/// Lays the stand-in for DeepStream out in a folder, as an installation of one version.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder, in place of /opt/nvidia/deepstream/deepstream
    root: PathBuf,
    /// The version: 5.0-DP, 5.0, 5.1, 6.0 … 9.1
    version: Version,
    /// The folder that holds the built libraries
    #[arg(long, default_value = "target/debug")]
    built: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { root, version, built } = Arguments::parse();
    match install::install(&root, version, &built) {
        Ok(()) => {
            println!("{}", root.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("deepstream-standin: {error}");
            ExitCode::FAILURE
        }
    }
}
