//! The log: lines of JSON, or for people on a terminal.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::{LogFormat, RunError};

/// What is never told in more detail: these write headers, and what strangers send.
const HELD_BACK: [&str; 3] = ["kube_client=info", "hyper=info", "warp::server=off"];

pub(super) fn start(level: &str, format: Option<LogFormat>) -> Result<(), RunError> {
    let failed = |error: &dyn std::fmt::Display| RunError::Logging(error.to_string());
    let mut filter = EnvFilter::try_new(level).map_err(|error| failed(&error))?;
    for directive in HELD_BACK {
        filter = filter.add_directive(directive.parse().map_err(|error| failed(&error))?);
    }
    let is_json = match format {
        Some(format) => format == LogFormat::Json,
        None => !io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = if is_json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    started.map_err(|error| RunError::Logging(error.to_string()))
}
