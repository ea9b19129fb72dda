//! What a schema cannot say of values. Pure.

use std::{collections::BTreeSet, net::SocketAddr};

use crds::{Detection, Duration, VideoSourceSpec};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::{
    error::ConfigError,
    layer::{Settings, nested},
};
use crate::api::is_taken_path;

/// What a value must be where it is not, and what to do.
type Fault = (&'static str, String, String);

/// Everything that is wrong with `settings`. A key may be null where the default profile's is.
pub(super) fn check(settings: &Settings, defaults: &Settings) -> Vec<ConfigError> {
    let mut faults: Vec<(String, String, String)> = Vec::new();
    for (path, setting) in settings {
        let value = setting.json();
        if value.is_null() && defaults.get(path).is_some_and(|default| !default.json().is_null()) {
            faults.push((path.clone(), "has no value".to_owned(), "write one, or leave the key out".to_owned()));
        }
    }
    let text = |path: &str| {
        settings.get(path).map(super::layer::Setting::json).and_then(|value| Some(value.as_str()?.to_owned()))
    };
    let named = [
        text("listen").and_then(|listen| address(&listen)),
        text("metrics.path").and_then(|path| metrics_path(&path)),
        text("log.level").and_then(|level| log_level(&level)),
        text("maxDuration").and_then(|duration| positive("maxDuration", &duration)),
        text("statistics.interval").and_then(|interval| positive("statistics.interval", &interval)),
        settings.get("outputs").and_then(|outputs| outputs_differ(&outputs.json())),
    ];
    faults.extend(named.into_iter().flatten().map(|(path, problem, remedy)| (path.to_owned(), problem, remedy)));
    faults.extend(detection(settings));
    let placed = |(path, problem, remedy): (String, String, String)| {
        // Of a section the last of its keys that has a value.
        let inside = || settings.iter().rfind(|(key, setting)| key.starts_with(&path) && !setting.json().is_null());
        let setting = settings.get(&path).or_else(|| inside().map(|(_, setting)| setting))?;
        Some(ConfigError { origin: setting.origin.clone(), field: path, problem, remedy })
    };
    faults.into_iter().filter_map(placed).collect()
}

fn address(text: &str) -> Option<Fault> {
    let wrong = text.parse::<SocketAddr>().is_err();
    let remedy = "write an address and a port from 0 to 65535, as in 127.0.0.1:8080";
    wrong.then(|| ("listen", "is no address with a port".to_owned(), remedy.to_owned()))
}

fn metrics_path(path: &str) -> Option<Fault> {
    let remedy = "choose one outside of /api that is not in use, as /metrics";
    is_taken_path(path).then(|| ("metrics.path", "is a path of the API".to_owned(), remedy.to_owned()))
}

fn positive(path: &'static str, text: &str) -> Option<Fault> {
    let is_zero = text.parse::<Duration>().is_ok_and(|duration| duration.get().is_zero());
    is_zero.then(|| (path, "is zero".to_owned(), "write a longer time, as 10s".to_owned()))
}

/// Levels, alone and of single parts. A word that is no level would be taken for a part of which everything is logged.
fn log_level(text: &str) -> Option<Fault> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let remedy = "write levels (off, error, warn, info, debug, trace), as in warn,analytics_pod::source=debug";
    let wrong = text.split(',').map(str::trim).find(|directive| {
        let level = directive.rsplit_once('=').map_or(*directive, |(_, level)| level);
        !directive.contains('[') && !LEVELS.contains(&level.to_ascii_lowercase().as_str())
    });
    if let Some(directive) = wrong {
        let quotable = crate::assign::is_quotable(directive);
        let problem = if quotable { format!("{directive:?} names no level") } else { "names no level".to_owned() };
        return Some(("log.level", problem, remedy.to_owned()));
    }
    let unreadable = EnvFilter::try_new(text).is_err();
    unreadable.then(|| ("log.level", "cannot be read".to_owned(), remedy.to_owned()))
}

fn outputs_differ(outputs: &Value) -> Option<Fault> {
    let outputs: Vec<&str> = outputs.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut seen = BTreeSet::new();
    let twice = outputs.iter().any(|output| !seen.insert(*output));
    if twice {
        return Some(("outputs", "names one twice".to_owned(), "keep it once".to_owned()));
    }
    let beside = outputs.len() > 1 && outputs.contains(&"none");
    beside.then(|| ("outputs", "has none beside others".to_owned(), "keep none alone, or the others".to_owned()))
}

/// The rules that a source's `detection` keeps too.
fn detection(settings: &Settings) -> Vec<(String, String, String)> {
    let keys = settings.iter().filter(|(path, _)| path.starts_with("detection."));
    let document = nested(keys.map(|(path, setting)| (path.as_str(), setting.json())));
    let Ok(detection) = serde_json::from_value::<Detection>(document["detection"].clone()) else { return Vec::new() };
    let spec = VideoSourceSpec { detection, ..VideoSourceSpec::new("test://smpte", "starter") };
    let violation = |violation: crds::Violation| {
        let path = violation.field.strip_prefix("spec.")?.to_owned();
        path.starts_with("detection").then(|| (path, violation.message, String::new()))
    };
    spec.violations().into_iter().filter_map(violation).collect()
}
