//! `analytics-pod config`: what a configuration may hold, and what a run would have.

use std::{io, process::ExitCode};

use crate::{
    cli::{Cli, ConfigCommand, ShowArgs, ShowFormat},
    commands::models::{self, ModelArgumentError},
    config::{self, ConfigErrors, Effective, Inputs, Shown},
};

/// Why nothing is printed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigCommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The model of sources that name none cannot be used.
    #[error(transparent)]
    Model(#[from] ModelArgumentError),
    /// It cannot be written as JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It cannot be written as YAML.
    #[error("cannot be written as YAML: {0}")]
    Yaml(String),
    /// Standard output does not take it.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// Prints what is asked for.
///
/// # Errors
/// Everything that is wrong with the configuration.
pub fn config(what: &ConfigCommand, cli: &Cli) -> Result<ExitCode, ConfigCommandError> {
    let text = match what {
        ConfigCommand::Schema => serde_json::to_string_pretty(&config::published())? + "\n",
        ConfigCommand::Show(args) => {
            let effective = cli.inputs(Inputs::process_environment()).read()?;
            tell_unknown(&effective);
            listed(&effective)?;
            show(&effective, args)?
        }
    };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The sources and models that the configuration lists.
pub(super) fn listed(effective: &Effective) -> Result<crate::assign::Listed, ConfigCommandError> {
    let model = effective.has_sources().then(|| models::named(&effective.config.model)).transpose()?;
    Ok(effective.listed(model)?)
}

fn tell_unknown(effective: &Effective) {
    for (variable, remedy) in &effective.unknown_variables {
        eprintln!("warning: {variable} sets nothing; {remedy}");
    }
}

fn show(effective: &Effective, args: &ShowArgs) -> Result<String, ConfigCommandError> {
    let shown = Shown::of(effective, &[]);
    Ok(match args.format {
        ShowFormat::Table => config::table(&shown),
        ShowFormat::Json => serde_json::to_string_pretty(&shown)? + "\n",
        ShowFormat::Yaml => {
            serde_yaml::to_string(&shown.config).map_err(|error| ConfigCommandError::Yaml(error.to_string()))?
        }
    })
}
