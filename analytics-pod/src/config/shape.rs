//! What a configuration file may hold, as a schema made from the types.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::types::Config;

/// What a file may hold: every key may be absent, and null says that there is no value.
pub(super) fn of_files() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut schema = Value::from(settings.into_generator().into_root_schema_for::<Config>());
        simplify(&mut schema);
        schema["properties"]["extends"] = json!({
            "type": "string", "minLength": 1, "maxLength": 4096,
            "description": "What this file builds on: a built-in profile (default, development, production, testing), \
                            or another file; a relative path starts at this file's folder.",
        });
        schema
    });
    &SCHEMA
}

/// The schema of one key.
pub(super) fn of_key(path: &str) -> &'static Value {
    path.split('.').fold(of_files(), |schema, step| &schema["properties"][step])
}

/// A type that may be null becomes one that may be absent; and a layer needs no key.
fn simplify(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if let Some(Value::Array(types)) = fields.get("type") {
        let named = types.iter().find(|name| *name != "null").cloned().unwrap_or_default();
        fields.insert("type".to_owned(), named);
    }
    for unneeded in ["required", "format", "default"] {
        fields.remove(unneeded);
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(simplify);
    }
}
