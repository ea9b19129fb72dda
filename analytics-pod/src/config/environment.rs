//! Environment variables to a layer. Pure.

use serde_json::Value;

use super::{
    error::ConfigError,
    keys::keys,
    layer::{Origin, Setting, Settings},
    shape,
};
use crate::assign::{
    document::{Located, Node, parse},
    strict::{check, suggest},
};

/// Variables that begin like a key's and are none: they name the file and the profile.
const OTHERS: [&str; 2] = ["VISION_CONFIG", "VISION_PROFILE"];

/// Beginnings of the variables of this project's own scripts and tests.
const OTHER_PREFIXES: [&str; 3] = ["VISION_TEST_", "VISION_BENCH_", "VISION_ANALYTICS_POD"];

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) settings: Settings,
    pub(super) errors: Vec<ConfigError>,
    /// Variables that look like a key's and are none, with the remedy.
    pub(super) unknown: Vec<(String, String)>,
}

/// Reads `variables`. One that is empty counts as absent.
pub(super) fn read(variables: &[(String, String)]) -> Environment {
    let mut environment = Environment::default();
    let filled = variables.iter().filter(|(_, value)| !value.trim().is_empty());
    for (name, text) in filled {
        if let Some(key) = keys().iter().find(|key| key.variable == *name) {
            environment.set(&key.path, name, text);
        } else if name == "RUST_LOG" {
            // What the ecosystem knows it by; the project's own name stands before it, whatever their order.
            if !environment.settings.contains_key("log.level") {
                environment.set("log.level", name, text);
            }
        } else if name.starts_with("VISION_") && !is_of_others(name, text) {
            let known: Vec<&str> = keys().iter().map(|key| key.variable.as_str()).chain(OTHERS).collect();
            environment.unknown.push((name.clone(), suggest(name, &known)));
        }
    }
    environment
}

impl Environment {
    fn set(&mut self, path: &str, variable: &str, text: &str) {
        let origin = Origin::Environment { variable: variable.to_owned() };
        let schema = shape::of_key(path);
        let value = match value(schema, text) {
            Ok(value) => value,
            Err(problem) => {
                let (field, remedy) = (path.to_owned(), "write a YAML or JSON list".to_owned());
                return self.errors.push(ConfigError { origin, field, problem, remedy });
            }
        };
        let problems = check(schema, &value, false);
        self.errors.extend(problems.into_iter().map(|found| ConfigError {
            origin: origin.clone(),
            field: format!("{path}{}", found.field),
            problem: found.message,
            remedy: found.remedy,
        }));
        self.settings.insert(path.to_owned(), Setting { origin, value, folder: None });
    }
}

/// The text as the schema has it: a list of texts may be written with commas.
fn value(schema: &Value, text: &str) -> Result<Located, String> {
    let kind = schema["type"].as_str().unwrap_or_default();
    let text = text.trim();
    let texts = |parts: Vec<&str>| {
        let items = parts.into_iter().map(|part| located(Node::Text(part.trim().to_owned()))).collect();
        located(Node::List(items))
    };
    match kind {
        "string" => Ok(located(Node::Text(text.to_owned()))),
        "array" if schema["items"]["type"] == "string" && !text.starts_with('[') => {
            Ok(texts(text.split(',').collect()))
        }
        _ => match parse(text).pop() {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(error.message),
            None => Ok(located(Node::Text(text.to_owned()))),
        },
    }
}

fn located(node: Node) -> Located {
    Located { line: 1, node }
}

/// Variables of the project's scripts, and those that Kubernetes makes for a Service whose name begins with `vision`.
fn is_of_others(name: &str, value: &str) -> bool {
    let is_service = ["_SERVICE_HOST", "_SERVICE_PORT"].iter().any(|suffix| name.ends_with(suffix))
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| name.contains("_PORT_") && name.contains(protocol));
    is_service || OTHERS.contains(&name) || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
