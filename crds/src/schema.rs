//! Pieces of schema that the derives cannot say.

use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use crate::{duration, validate::Bounds};

/// What the patterns of the schemas expect, in words.
const PATTERNS: &[(&str, &str)] = &[
    (duration::PATTERN, "a duration such as 50ms, 5s, 2m or 1m30s"),
    (DIGEST, "64 lower-case hexadecimal digits, with nothing before them"),
    (LABEL, "lower-case letters, digits and dashes"),
    (EXTENDED_RESOURCE, "the name of a resource with its domain, such as nvidia.com/gpu"),
    (QUANTITY, "a quantity such as 2, 500m or 4Gi"),
];

/// The digits of a SHA-256.
pub(crate) const DIGEST: &str = "^[0-9a-f]{64}$";

/// A DNS-1123 label.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// The name of a resource that a device plugin offers: a domain, a slash and a name.
pub(crate) const EXTENDED_RESOURCE: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";

/// A Kubernetes quantity that is not negative.
const QUANTITY: &str = "^([0-9]+|[0-9]+[.][0-9]*|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$";

/// Entries of a map and items of a list inside Kubernetes' own types, at the most.
const MOST_ENTRIES: u64 = 32;

/// Characters of a text inside Kubernetes' own types, at the most. The longest are keys of labels (a domain of 253, a
/// slash, a name of 63).
const LONGEST_TEXT: u64 = 317;

/// What a pattern of the schemas expects, in words.
#[must_use]
pub fn expectation(pattern: &str) -> Option<&'static str> {
    PATTERNS.iter().find(|(known, _)| *known == pattern).map(|(_, words)| *words)
}

/// `metav1.Condition`s as a list by type, with the bounds that the Kubernetes API gives to each field.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "What is known of the object, one entry a type.",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "type": "string", "minLength": 1, "maxLength": 316 },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": { "type": "string", "maxLength": 32768 },
            },
        },
    })
}

/// A set of class names.
pub(crate) fn class_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "maxItems": 1000,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": 128 },
    })
}

/// The names of a model's classes, in the order of its outputs. Names may repeat: published models do.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "minItems": 1,
        "maxItems": 10000,
        "items": { "type": "string", "minLength": 1, "maxLength": 128 },
    })
}

/// One number a colour channel.
pub(crate) fn channel_means(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "minItems": 3,
        "maxItems": 3,
        "items": { "type": "number", "format": "double", "minimum": -1000, "maximum": 1000 },
    })
}

/// One number above zero a colour channel.
pub(crate) fn channel_deviations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "minItems": 3,
        "maxItems": 3,
        "items": { "type": "number", "format": "double", "minimum": 0.000_001, "maximum": 1000 },
    })
}

/// URIs; the rules for them stand at the object that has them.
pub(crate) fn fallback_uris(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "items": { "type": "string", "minLength": 1, "maxLength": 2048 },
    })
}

/// The rule that a duration lies within `bounds`.
pub(crate) fn within(bounds: &Bounds) -> Rule {
    let Bounds { least, most } = bounds;
    // What is no duration at all is another rule's to say.
    let unread = format!("!{}", matches("self", duration::PATTERN));
    Rule::new(format!("{unread} || (duration(self) >= duration('{least}') && duration(self) <= duration('{most}'))"))
        .message(bounds.message().as_str())
}

/// The CEL expression that `value` matches a pattern of [`PATTERNS`].
pub(crate) fn matches(value: &str, pattern: &str) -> String {
    format!("{value}.matches('{pattern}')")
}

/// A moment, RFC 3339.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "nullable": true })
}

/// Labels, annotations or node labels: texts by key.
pub(crate) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MOST_ENTRIES,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
    })
}

/// Quantities of resources by their names.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "x-kubernetes-int-or-string": true, "maxLength": 32, "pattern": QUANTITY },
    })
}

/// One of Kubernetes' own types, with bounds.
pub(crate) fn kubernetes<T: JsonSchema>(_: &mut SchemaGenerator) -> Schema {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    for key in ["$schema", "title", "components"] {
        schema.remove(key);
    }
    if let Some(fields) = schema.as_object_mut() {
        bound(fields);
    }
    schema
}

/// A list of one of Kubernetes' own types.
pub(crate) fn kubernetes_list<T: JsonSchema, const MOST: usize>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": MOST, "items": kubernetes::<T>(generator) })
}

/// A list of one of Kubernetes' own types whose items are told apart by their `name`.
pub(crate) fn kubernetes_map_list<T: JsonSchema, const MOST: usize>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = kubernetes_list::<T, MOST>(generator);
    schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(["name"]));
    schema
}

/// Takes the descriptions out of a schema, which `kubectl explain pod` shows already, and bounds everything in it.
fn bound(schema: &mut Map<String, Value>) {
    schema.remove("description");
    schema.remove("default");
    if schema.contains_key("x-kubernetes-int-or-string") {
        schema.insert("maxLength".to_owned(), json!(32));
    }
    let missing = match schema.get("type").and_then(Value::as_str) {
        Some("string") if !schema.contains_key("enum") => Some(("maxLength", LONGEST_TEXT)),
        Some("array") => Some(("maxItems", MOST_ENTRIES)),
        Some("integer" | "number") => Some(("minimum", 0)),
        Some("object") if schema.contains_key("additionalProperties") => Some(("maxProperties", MOST_ENTRIES)),
        _ => None,
    };
    if let Some((keyword, value)) = missing {
        schema.entry(keyword).or_insert(json!(value));
    }
    for (keyword, inner) in schema {
        match (keyword.as_str(), inner) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().filter_map(Value::as_object_mut).for_each(bound);
            }
            ("items" | "additionalProperties", Value::Object(inner)) => bound(inner),
            _ => {}
        }
    }
}
