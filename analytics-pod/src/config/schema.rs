//! The schema of a configuration: as files are held against it, and as it is published.

use serde_json::{Map, Value, json};

use super::{
    keys::{Change, Key, keys},
    shape::{of_files, of_key},
};

/// The JSON Schema of a configuration file, as `config schema` prints it.
#[must_use]
pub fn published() -> Value {
    let mut schema = strict(of_files(), "", &|_| true);
    let entries = crate::api::listed_schemas();
    for list in ["sources", "models"] {
        schema["properties"][list]["items"] = entries[list].clone();
    }
    for (name, words) in [
        ("$schema", "https://json-schema.org/draft/2020-12/schema"),
        ("title", "Configuration of analytics-pod"),
        ("description", "Every key may be absent: it has the value of the profile or file that this one extends."),
    ] {
        schema[name] = words.into();
    }
    schema
}

/// What a request may change while the pod runs.
#[must_use]
pub fn run_time_schema() -> Value {
    strict(of_files(), "", &|path| {
        keys().iter().any(|key| key.change == Change::Live && (key.path == path || key.is_in(path)))
    })
}

/// The defaults of detection.
#[must_use]
pub fn detection_schema() -> Value {
    strict(of_key("detection"), "detection", &|_| true)
}

/// As strict as the reader: no unknown keys, null for absent ones; only the properties that are `wanted` by their path.
fn strict(schema: &Value, path: &str, wanted: &impl Fn(&str) -> bool) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let shown = |(name, _): &(&String, &Value)| !name.starts_with("x-kubernetes-");
    let mut fields: Map<String, Value> =
        fields.iter().filter(shown).map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(Value::Object(properties)) = fields.get("properties") {
        let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let properties: Map<String, Value> = properties
            .iter()
            .filter(|(name, _)| wanted(&inner(name)))
            .map(|(name, property)| (name.clone(), strict(property, &inner(name), wanted)))
            .collect();
        fields.insert("properties".to_owned(), Value::Object(properties));
        fields.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if path.is_empty() {
        return Value::Object(fields);
    }
    if let Some(kind) = fields.get("type").filter(|kind| kind.is_string()).cloned() {
        fields.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.push(Value::Null);
    }
    Value::Object(fields)
}

impl Key {
    /// Whether the key is in the section `path`.
    fn is_in(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
    }
}
