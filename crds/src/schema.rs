//! Pieces of schema that the derives cannot say.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::{duration, uri, validate::Bounds};

/// What the patterns of the schemas expect, in words.
const PATTERNS: &[(&str, &str)] = &[
    (duration::PATTERN, "a duration such as 50ms, 5s, 2m or 1m30s"),
    (DIGEST, "64 lower-case hexadecimal digits"),
    (LABEL, "lower-case letters, digits and dashes"),
];

/// The digits of a SHA-256.
pub(crate) const DIGEST: &str = "^[0-9a-f]{64}$";

/// A DNS-1123 label.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

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

/// URIs, each under the same rules as a source's first one.
pub(crate) fn fallback_uris(_: &mut SchemaGenerator) -> Schema {
    let rules = uri::RULES.map(|check| serde_json::json!({ "rule": check.rule, "message": check.message }));
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "items": { "type": "string", "minLength": 1, "maxLength": 2048, "x-kubernetes-validations": rules },
    })
}

/// The rule that a duration lies within `bounds`.
pub(crate) fn within(bounds: &Bounds) -> Rule {
    let Bounds { least, most } = bounds;
    Rule::new(format!("duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"))
        .message(bounds.message().as_str())
}

/// A moment, RFC 3339.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "nullable": true })
}
