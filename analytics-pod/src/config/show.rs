//! The values in force and where each is from, as people and programs are shown them.

use std::{collections::BTreeMap, fmt::Write as _};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    keys::{Change, keys},
    layer::{Origin, nested},
    settings::Effective,
};
use crate::telemetry::redact;

/// Longer values are cut in the table.
const WIDEST_VALUE: usize = 60;

/// The configuration in force. URIs have lost their queries, which may hold passwords.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The values, as a file would have them.
    pub config: BTreeMap<String, Value>,
    /// Each value by its key, and where it is from.
    pub settings: BTreeMap<String, ShownSetting>,
    /// Keys that have other values by now, which take effect at the next start.
    pub pending_restart: Vec<&'static str>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownSetting {
    /// What it is; null: none.
    pub value: Value,
    /// Where it is from.
    pub origin: Origin,
    /// When another value takes effect: `live` (at once, also by a request), `reload` (SIGHUP) or `restart`.
    pub change: Change,
    /// The environment variable that sets it.
    pub variable: &'static str,
}

impl Shown {
    /// What is in force.
    #[must_use]
    pub fn of(effective: &Effective, pending_restart: &[&'static str]) -> Self {
        let settings: BTreeMap<String, ShownSetting> = keys()
            .iter()
            .filter_map(|key| {
                let setting = effective.settings().get(&key.path)?;
                let shown = ShownSetting {
                    value: redacted(setting.json()),
                    origin: setting.origin.clone(),
                    change: key.change,
                    variable: &key.variable,
                };
                Some((key.path.clone(), shown))
            })
            .collect();
        let config = nested(settings.iter().map(|(path, setting)| (path.as_str(), setting.value.clone())));
        let config = match config {
            Value::Object(config) => config.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        Self { config, settings, pending_restart: pending_restart.to_vec() }
    }
}

fn redacted(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, redacted(value))).collect(),
        other => other,
    }
}

/// A line for each key: its value, and where that is from.
#[must_use]
pub fn table(shown: &Shown) -> String {
    let rows: Vec<(&str, String, String)> = shown
        .settings
        .iter()
        .map(|(path, setting)| (path.as_str(), brief(&setting.value), setting.origin.to_string()))
        .collect();
    let width = |title: usize, lengths: &mut dyn Iterator<Item = usize>| lengths.fold(title, usize::max);
    let keys = width("KEY".len(), &mut rows.iter().map(|(key, ..)| key.len()));
    let values = width("VALUE".len(), &mut rows.iter().map(|(_, value, _)| value.chars().count()));
    let mut text = String::new();
    let titles = [("KEY", "VALUE".to_owned(), "FROM".to_owned())];
    for (key, value, origin) in titles.iter().chain(&rows) {
        // Writing into a text never fails.
        let _ = writeln!(text, "{key:keys$}  {value:values$}  {origin}");
    }
    text
}

/// A value on one line.
fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "-".to_owned(),
        Value::Array(all) => match all.iter().map(Value::as_str).collect::<Option<Vec<_>>>() {
            Some(texts) => texts.join(", "),
            None if all.len() == 1 => "1 entry".to_owned(),
            None => format!("{} entries", all.len()),
        },
        other => other.to_string(),
    };
    if text.chars().count() <= WIDEST_VALUE {
        return text;
    }
    text.chars().take(WIDEST_VALUE - 1).chain(['…']).collect()
}
