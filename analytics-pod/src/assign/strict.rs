//! Holds a document against a schema: every unknown field, wrong type and value out of bounds, with its line.
//!
//! The schemas of `VideoSource` and `DetectionModel` are those of their definitions, so what passes here passes an API
//! server.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{
    document::{Located, Node, join},
    error::{Kind, is_quotable},
};

/// One thing that a schema has against a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) field: String,
    pub(crate) line: u64,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// The only type of Secret that is read.
pub(super) const SECRET_TYPE: &str = "kubernetes.io/basic-auth";

/// A DNS-1123 subdomain, which names of objects are.
const SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A DNS-1123 label, which names of namespaces are.
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// The whole object: the schema of its kind, with what an API server adds to it.
pub(super) fn schema(kind: Kind) -> &'static Value {
    static SOURCE: LazyLock<Value> = LazyLock::new(|| custom("VideoSource"));
    static MODEL: LazyLock<Value> = LazyLock::new(|| custom("DetectionModel"));
    static SECRET: LazyLock<Value> = LazyLock::new(secret);
    match kind {
        Kind::VideoSource => &SOURCE,
        Kind::DetectionModel => &MODEL,
        Kind::Secret => &SECRET,
    }
}

/// The schema of the `spec` of a kind, as its definition has it.
#[must_use]
pub fn spec_schema(kind: Kind) -> &'static Value {
    &schema(kind)["properties"]["spec"]
}

fn custom(kind: &str) -> Value {
    let definition = crds::plain_definitions().into_iter().find(|definition| definition.spec.names.kind == kind);
    let version = definition.and_then(|definition| definition.spec.versions.into_iter().next());
    let schema = version.and_then(|version| version.schema?.open_api_v3_schema);
    let spec = schema.and_then(|schema| serde_json::to_value(schema.properties?.get("spec")?).ok());
    json!({
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {},
            "kind": {},
            "metadata": metadata(),
            "spec": spec,
            // An object that `kubectl get -o yaml` printed has one; only the operator writes it.
            "status": {},
        },
    })
}

fn secret() -> Value {
    let login = json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "minLength": 1, "maxLength": 1024 },
            "password": { "type": "string", "maxLength": 4096 },
        },
    });
    json!({
        "type": "object",
        "required": ["metadata", "type"],
        "properties": {
            "apiVersion": {},
            "kind": {},
            "metadata": metadata(),
            "type": { "type": "string", "enum": [SECRET_TYPE] },
            "immutable": { "type": "boolean" },
            "data": login.clone(),
            "stringData": login,
        },
    })
}

/// `ObjectMeta`: what people write is checked, what only servers write is let through.
fn metadata() -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": 253, "pattern": SUBDOMAIN },
            "namespace": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": LABEL },
            "labels": texts.clone(),
            "annotations": texts,
            "creationTimestamp": {},
            "deletionGracePeriodSeconds": {},
            "deletionTimestamp": {},
            "finalizers": {},
            "generation": {},
            "managedFields": {},
            "ownerReferences": {},
            "resourceVersion": {},
            "selfLink": {},
            "uid": {},
        },
    })
}

/// What `schema` has against `document`. With `secret` no value and no unknown name is quoted.
pub(crate) fn check(schema: &Value, document: &Located, secret: bool) -> Vec<Problem> {
    let mut checker = Checker { problems: Vec::new(), secret };
    checker.value(schema, document, "");
    checker.problems
}

struct Checker {
    problems: Vec<Problem>,
    secret: bool,
}

impl Checker {
    fn report(&mut self, field: &str, line: u64, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem { field: field.to_owned(), line, message: message.into(), remedy: remedy.into() });
    }

    fn value(&mut self, schema: &Value, value: &Located, path: &str) {
        match (schema["type"].as_str(), &value.node) {
            (None, _) | (Some("boolean"), Node::Bool(_)) => {}
            (Some("object"), Node::Map(_)) => self.object(schema, value, path),
            (Some("array"), Node::List(items)) => self.list(schema, value, items, path),
            (Some("string"), Node::Text(text)) => self.text(schema, value.line, text, path),
            (Some("integer"), Node::Number(number)) if number.is_i64() => {
                self.number(schema, value.line, number.as_f64().unwrap_or(f64::NAN), path);
            }
            (Some("number"), Node::Number(number)) => {
                self.number(schema, value.line, number.as_f64().unwrap_or(f64::NAN), path);
            }
            (Some(expected), node) => {
                let remedy = match (expected, node) {
                    ("string", Node::Bool(_) | Node::Number(_)) if schema["pattern"].is_null() => {
                        "put it in quotes".to_owned()
                    }
                    _ => format!("write {}", expectation(schema)),
                };
                self.report(path, value.line, format!("is {}, expected {}", describe(node), a(expected)), remedy);
            }
        }
    }

    fn object(&mut self, schema: &Value, value: &Located, path: &str) {
        let Node::Map(fields) = &value.node else { return };
        let known = schema["properties"].as_object();
        for field in fields {
            let extra = Some(&schema["additionalProperties"]).filter(|extra| extra.is_object());
            match known.and_then(|known| known.get(&field.name)).or(extra) {
                // As with an API server, null is the same as absent.
                Some(_) if field.value.node == Node::Null => {}
                Some(schema) => self.value(schema, &field.value, &join(path, &field.name)),
                None => self.unknown(known, &field.name, field.line, path),
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(required).is_none_or(|field| field.value.node == Node::Null) {
                let remedy = format!("add {}", expectation(&schema["properties"][required]));
                self.report(&join(path, required), value.line, "is missing", remedy);
            }
        }
    }

    fn unknown(&mut self, known: Option<&Map<String, Value>>, name: &str, line: u64, path: &str) {
        let known: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let remedy = suggest(name, &known);
        if !self.secret && is_quotable(name) {
            self.report(&join(path, name), line, "is not a known field", remedy);
        } else {
            self.report(path, line, "has a field that is not known", remedy);
        }
    }

    fn list(&mut self, schema: &Value, value: &Located, items: &[Located], path: &str) {
        let count = items.len() as u64;
        let (least, most) = (schema["minItems"].as_u64(), schema["maxItems"].as_u64());
        if least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most) {
            let problem = format!("has {count} entries");
            self.report(path, value.line, problem, format!("write {}", expectation(schema)));
        }
        for (index, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{path}[{index}]"));
        }
        let keys = schema["x-kubernetes-list-map-keys"].as_array();
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let key = match (schema["x-kubernetes-list-type"].as_str(), &item.node) {
                (Some("set"), Node::Text(text)) => Some(text.as_str()),
                (Some("map"), _) => keys.and_then(|keys| item.text(keys.first()?.as_str()?)),
                _ => None,
            };
            if key.is_some_and(|key| !seen.insert(key)) {
                self.report(&format!("{path}[{index}]"), item.line, "comes twice in the list", "remove one of the two");
            }
        }
    }

    fn text(&mut self, schema: &Value, line: u64, text: &str, path: &str) {
        let expected = || format!("write {}", expectation(schema));
        if let Some(allowed) = schema["enum"].as_array() {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !allowed.contains(&text) {
                let problem = if !self.secret && is_quotable(text) { format!("{text:?} ") } else { String::new() };
                self.report(path, line, format!("{problem}is not one of its values"), suggest(text, &allowed));
            }
            return;
        }
        let length = text.chars().count() as u64;
        let (least, most) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
        // The pattern first: what it expects says more than a length.
        if !schema["pattern"]
            .as_str()
            .and_then(|pattern| Regex::new(pattern).ok())
            .is_none_or(|regex| regex.is_match(text))
        {
            self.report(path, line, "is not written as it must be", expected());
        } else if length == 0 && least.is_some_and(|least| least > 0) {
            self.report(path, line, "is empty", expected());
        } else if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
            let (least, most) = (least.unwrap_or(0), most.unwrap_or(u64::MAX));
            let remedy = format!("write {least} to {most} characters");
            self.report(path, line, format!("has {length} characters"), remedy);
        }
    }

    fn number(&mut self, schema: &Value, line: u64, number: f64, path: &str) {
        let least = schema["minimum"].as_f64().unwrap_or(f64::NEG_INFINITY);
        let most = schema["maximum"].as_f64().unwrap_or(f64::INFINITY);
        if !(least..=most).contains(&number) {
            self.report(path, line, format!("is {number}"), format!("write {}", expectation(schema)));
        }
    }
}

/// What a schema expects, in words.
fn expectation(schema: &Value) -> String {
    let range = |least: &Value, most: &Value, what: &str| match (least.as_f64(), most.as_f64()) {
        (Some(least), Some(most)) => format!("{what} from {least} to {most}"),
        (Some(least), None) => format!("{what}, at least {least}"),
        (None, Some(most)) => format!("{what}, at most {most}"),
        (None, None) => what.to_owned(),
    };
    match schema["type"].as_str() {
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => range(&schema["minimum"], &schema["maximum"], "a whole number"),
        Some("number") => range(&schema["minimum"], &schema["maximum"], "a number"),
        Some("array") => match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
            (Some(least), Some(most)) if least == most => format!("a list of {most} entries"),
            (least, Some(most)) => format!("a list of {} to {most} entries", least.unwrap_or(0)),
            _ => "a list".to_owned(),
        },
        Some("object") => match schema["properties"].as_object() {
            Some(known) => format!("a block of fields ({})", list(known.keys().map(String::as_str))),
            None => "a block of fields".to_owned(),
        },
        Some("string") => match (schema["pattern"].as_str(), schema["enum"].as_array()) {
            (Some(SUBDOMAIN), _) => "lower-case letters, digits, dashes and dots".to_owned(),
            (Some(pattern), _) => crds::expectation(pattern).map_or_else(|| example(schema), str::to_owned),
            (None, Some(values)) => list(values.iter().filter_map(Value::as_str)),
            (None, None) => "a text".to_owned(),
        },
        _ => "a value".to_owned(),
    }
}

/// What a text is like, by the examples of its schema.
fn example(schema: &Value) -> String {
    let examples: Vec<&str> = schema["examples"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if examples.is_empty() { "a text".to_owned() } else { format!("a text like {}", examples.join(" or ")) }
}

/// The known name that `name` was probably meant to be, else all of them.
pub(crate) fn suggest(name: &str, known: &[&str]) -> String {
    let close = known.iter().map(|known| (strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase()), *known));
    let closest = close.filter(|(similarity, _)| *similarity > 0.8).max_by(|(a, _), (b, _)| a.total_cmp(b));
    match (closest, known) {
        (Some((_, closest)), _) => format!("did you mean {closest}?"),
        (None, []) => "remove it".to_owned(),
        (None, known) => format!("known here: {}", list(known.iter().copied())),
    }
}

/// The first names of a list that may be long.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

fn a(type_name: &str) -> &'static str {
    match type_name {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "array" => "a list",
        "object" => "a block of fields",
        _ => "a text",
    }
}

fn describe(node: &Node) -> &'static str {
    match node {
        Node::Null => "empty",
        Node::Bool(_) => "true or false",
        Node::Number(_) => "a number",
        Node::Text(_) => "a text",
        Node::List(_) => "a list",
        Node::Map(_) => "a block of fields",
    }
}
