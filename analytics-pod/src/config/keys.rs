//! Every key of a configuration, by its path in the schema.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::shape;

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// At once: by a request, and when the files are read anew (SIGHUP).
    Live,
    /// When the files are read anew (SIGHUP).
    Reload,
    /// At the next start.
    Restart,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `log.level`.
    pub path: String,
    /// The environment variable that sets it: `VISION_` and the words of the path in upper case, joined by `_`.
    pub variable: String,
    /// When a changed value takes effect.
    pub change: Change,
}

/// Every key, in the order of their paths.
#[must_use]
pub fn keys() -> &'static [Key] {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
        let mut found = Vec::new();
        collect(shape::of_files(), "", &mut found);
        found
    });
    &KEYS
}

/// The key of this path.
pub(super) fn key(path: &str) -> Option<&'static Key> {
    keys().iter().find(|key| key.path == path)
}

fn collect(schema: &Value, path: &str, found: &mut Vec<Key>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // It says how files are read and is no value.
        if path.is_empty() && name == "extends" {
            continue;
        }
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if property["properties"].is_object() {
            collect(property, &path, found);
        } else {
            let (variable, change) = (variable(&path), change(&path));
            found.push(Key { path, variable, change });
        }
    }
}

fn change(path: &str) -> Change {
    match path {
        "log.level" => Change::Live,
        "files" | "sources" | "models" | "model" => Change::Reload,
        _ if path.starts_with("detection.") => Change::Live,
        _ => Change::Restart,
    }
}

/// Every capital begins a word, and every dot does.
fn variable(path: &str) -> String {
    let mut name = String::from("VISION_");
    for letter in path.chars() {
        if letter.is_ascii_uppercase() || letter == '.' {
            name.push('_');
        }
        if letter != '.' {
            name.push(letter.to_ascii_uppercase());
        }
    }
    name
}
