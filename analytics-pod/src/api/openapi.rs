//! The description of the API (OpenAPI 3.1), made from the answers' types and the resources' definitions, and the page
//! that shows it.

use std::{borrow::Cow, sync::LazyLock};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use warp::http::StatusCode;

use super::{
    answers::{ModelAnswer, ModelCreated, ModelList, Source, SourceCreated, SourceList},
    config,
    health::HealthReport,
    message::Answer,
    pod_status::PodStatus,
    problem::Problem,
    routes::{METRICS_PATH, Method, ROUTES, Route, Target, is_guarded},
};
use crate::{
    assign::{Kind, rest::SourceType, spec_schema},
    config::Shown,
};

/// A page without anything from elsewhere: it works where there is no network.
const PAGE: &str = include_str!("docs.html");

/// What the page may load: itself, and answers of this server.
const PAGE_POLICY: &str = "default-src 'none'; connect-src 'self'; img-src blob:; style-src 'unsafe-inline'; \
                           script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn page() -> Answer {
    let mut answer = Answer::new(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    answer.headers.push(("content-security-policy", PAGE_POLICY.to_owned()));
    answer
}

/// The description; the metrics are at `metrics`.
pub(super) fn document(metrics: &str) -> Cow<'static, Value> {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(describe);
    if metrics == METRICS_PATH {
        return Cow::Borrowed(&DOCUMENT);
    }
    let mut document = DOCUMENT.clone();
    if let Value::Object(paths) = &mut document["paths"]
        && let Some(operations) = paths.remove(METRICS_PATH)
    {
        paths.insert(metrics.to_owned(), operations);
    }
    Cow::Owned(document)
}

/// What an entry of a configuration's lists may be: the short form of the API, or a manifest.
pub(crate) fn listed_schemas() -> Value {
    let schemas = submitted();
    let without_login = |name: &str| {
        let mut schema = schemas[name].clone();
        if let Value::Object(properties) = &mut schema["properties"] {
            properties.remove("credentials");
        }
        schema
    };
    let entry = |short: &str, manifest: &str, spec: &str| {
        let mut manifest = without_login(manifest);
        manifest["properties"]["spec"] = schemas[spec].clone();
        json!({ "anyOf": [without_login(short), manifest] })
    };
    json!({
        "sources": entry("SourceSubmission", "VideoSourceManifest", "VideoSourceSpec"),
        "models": entry("ModelSubmission", "DetectionModelManifest", "DetectionModelSpec"),
    })
}

fn describe() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = settings.with(|it| it.definitions_path = "/components/schemas".into()).into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let mut path = Map::new();
        for method in route.methods {
            path.insert(method.as_str().to_ascii_lowercase(), operation(route, *method, &mut generator));
        }
        if route.path.contains("{name}") {
            path.insert("parameters".to_owned(), json!([name(), namespace()]));
        }
        paths.insert(route.path.to_owned(), Value::Object(path));
    }
    let mut schemas = generator.take_definitions(true);
    schemas.extend(submitted());
    schemas.extend(config::submitted());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "analytics-pod",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Sources, models and status of an analytics pod. Errors are RFC 9457 problems.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "Where the pod has --api-token-file." },
            },
        },
    })
}

fn name() -> Value {
    json!({
        "name": "name", "in": "path", "required": true, "description": "The object's name.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 253 },
    })
}

fn namespace() -> Value {
    json!({
        "name": "namespace", "in": "query", "required": false, "description": "The object's namespace.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" },
    })
}

/// One operation under construction.
struct Operation {
    id: &'static str,
    summary: &'static str,
    responses: Map<String, Value>,
    body: Option<Value>,
}

impl Operation {
    fn new(id: &'static str, summary: &'static str) -> Self {
        Self { id, summary, responses: Map::new(), body: None }
    }

    /// Answers with a document of type `T`.
    fn json<T: JsonSchema>(self, status: u16, description: &str, generator: &mut SchemaGenerator) -> Self {
        let schema = generator.subschema_for::<T>();
        self.content(status, description, "application/json", &json!(schema))
    }

    fn content(mut self, status: u16, description: &str, media: &str, schema: &Value) -> Self {
        let response = json!({ "description": description, "content": { media: { "schema": schema } } });
        self.responses.insert(status.to_string(), response);
        self
    }

    /// Says which operations go on with what was made; `made` is the field of the answer.
    fn leads_to(mut self, made: &str, operations: &[&str]) -> Self {
        let link = |operation: &&str| {
            let parameters = json!({
                "name": format!("$response.body#/{made}/id"),
                "namespace": format!("$response.body#/{made}/namespace"),
            });
            ((*operation).to_owned(), json!({ "operationId": operation, "parameters": parameters }))
        };
        if let Some(created) = self.responses.get_mut("201") {
            created["links"] = operations.iter().map(link).collect();
        }
        self
    }

    fn empty(mut self, status: u16, description: &str) -> Self {
        self.responses.insert(status.to_string(), json!({ "description": description }));
        self
    }

    fn text(self, status: u16, description: &str) -> Self {
        self.content(status, description, "text/plain", &json!({ "type": "string" }))
    }

    fn problems(self, statuses: &[(u16, &str)], generator: &mut SchemaGenerator) -> Self {
        let schema = json!(generator.subschema_for::<Problem>());
        let describe = |operation: Self, (status, description): &(u16, &str)| {
            operation.content(*status, description, "application/problem+json", &schema)
        };
        statuses.iter().fold(self, describe)
    }

    /// Takes one of these documents.
    fn takes(mut self, media: &[&str], schemas: &[&str]) -> Self {
        let any: Vec<Value> =
            schemas.iter().map(|name| json!({ "$ref": format!("#/components/schemas/{name}") })).collect();
        let content: Map<String, Value> =
            media.iter().map(|media| ((*media).to_owned(), json!({ "schema": { "anyOf": any } }))).collect();
        self.body = Some(json!({ "required": true, "content": content }));
        self
    }

    fn finish(self, route: &Route) -> Value {
        let mut operation = json!({ "operationId": self.id, "summary": self.summary, "responses": self.responses });
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if is_guarded(route.path) {
            operation["security"] = json!([{ "token": [] }, {}]);
        }
        operation
    }
}

const NOT_FOUND: (u16, &str) = (404, "There is no such object.");
const CHANGES: [(u16, &str); 11] = [
    (400, "The document is not JSON, or the namespace is not one."),
    (401, "A token is needed."),
    (405, "The pod serves in a cluster, where the API server says what runs."),
    (409, "The name is taken, it was not made over REST, it is in use, or it cannot change while the pod runs."),
    (413, "The document is larger than the pod takes (1 MiB where the configuration says nothing else)."),
    (415, "The document is of another type."),
    (422, "The document says something that it must not; `errors` names each field."),
    (500, "The change cannot be kept."),
    (503, "The pod has no state folder."),
    (507, "The disk is full."),
    FOREIGN_NAME,
];
const FOREIGN_NAME: (u16, &str) = (421, "The Host is a name that leads here and is not the pod's.");
const READS: [(u16, &str); 3] = [(400, "The namespace is not one."), (401, "A token is needed."), FOREIGN_NAME];
const JSON: &[&str] = &["application/json"];

fn operation(route: &Route, method: Method, generator: &mut SchemaGenerator) -> Value {
    let it = generator;
    let probe = |id, summary| Operation::new(id, summary).text(200, "Yes.").text(503, "No, and why.");
    let made = match (route.target, method) {
        (Target::Live, _) => Operation::new("livez", "Whether the pod answers").text(200, "It does."),
        (Target::Ready, _) => probe("readyz", "Whether the pod does its work"),
        (Target::Startup, _) => probe("startupz", "Whether the start is over"),
        (Target::Health, _) => Operation::new("health", "How the pod does, and why")
            .json::<HealthReport>(200, "Healthy or degraded.", it)
            .json::<HealthReport>(503, "Unhealthy.", it),
        (Target::Metrics, _) => {
            Operation::new("metrics", "Metrics in Prometheus' text format").text(200, "The metrics.")
        }
        (Target::Docs, _) => Operation::new("docs", "A page that shows this document").content(
            200,
            "The page.",
            "text/html",
            &json!({ "type": "string" }),
        ),
        (Target::Document, _) => Operation::new("openapi", "This document")
            .content(200, "The document.", "application/json", &json!({ "type": "object" }))
            .problems(&READS, it),
        (Target::Status, _) => Operation::new("status", "The pod as a whole")
            .json::<PodStatus>(200, "Its status.", it)
            .problems(&READS, it),
        (Target::Config, Method::Post) => Operation::new("changeConfig", "Changes what may change while the pod runs")
            .takes(JSON, &["ConfigChange"])
            .json::<Shown>(200, "What is in force now, and kept.", it)
            .problems(&CHANGES, it),
        (Target::Config, _) => Operation::new("getConfig", "Every value in force, and where it is from")
            .json::<Shown>(200, "The configuration.", it)
            .problems(&READS, it),
        (Target::ConfigDetection, _) => {
            Operation::new("replaceDetectionDefaults", "Replaces what sources detect that do not say it themselves")
                .takes(JSON, &["DetectionDefaults"])
                .json::<Shown>(200, "What is in force now, and kept.", it)
                .problems(&CHANGES, it)
        }
        (Target::Sources, Method::Post) => Operation::new("createSource", "Makes a source")
            .takes(JSON, &["SourceSubmission", "VideoSourceManifest"])
            .json::<SourceCreated>(201, "It is made, and kept.", it)
            .leads_to("source", &["getSource", "replaceSource", "changeSource", "deleteSource"])
            .problems(&CHANGES, it),
        (Target::Sources, _) => Operation::new("listSources", "Every source")
            .json::<SourceList>(200, "The sources.", it)
            .problems(&READS, it),
        (Target::Source, Method::Put) => Operation::new("replaceSource", "Replaces a source that REST made")
            .takes(JSON, &["SourceReplacement", "VideoSourceManifest"])
            .json::<Source>(200, "The source as it is now.", it)
            .problems(&CHANGES, it)
            .problems(&[NOT_FOUND], it),
        (Target::Source, Method::Patch) => Operation::new("changeSource", "Changes a source that REST made (RFC 7396)")
            .takes(&["application/merge-patch+json", "application/json"], &["SourcePatch"])
            .json::<Source>(200, "The source as it is now.", it)
            .problems(&CHANGES, it)
            .problems(&[NOT_FOUND], it),
        (Target::Source, Method::Delete) => Operation::new("deleteSource", "Deletes a source that REST made")
            .empty(204, "It is deleted.")
            .problems(&READS, it)
            .problems(&[NOT_FOUND, CHANGES[2], CHANGES[6], CHANGES[7], CHANGES[8]], it),
        (Target::Source, _) => Operation::new("getSource", "One source")
            .json::<Source>(200, "The source.", it)
            .problems(&READS, it)
            .problems(&[NOT_FOUND], it),
        (Target::Frame, _) => Operation::new("getFrame", "The next frame with boxes and labels")
            .content(200, "The frame.", "image/jpeg", &json!({ "type": "string", "contentMediaType": "image/jpeg" }))
            .problems(&READS, it)
            .problems(&[NOT_FOUND, (500, "The picture cannot be made."), (503, "There is none.")], it),
        (Target::Models, Method::Post) => Operation::new("createModel", "Makes a model")
            .takes(JSON, &["ModelSubmission", "DetectionModelManifest"])
            .json::<ModelCreated>(201, "It is made, and kept; it is opened after the answer.", it)
            .leads_to("model", &["getModel", "replaceModel", "deleteModel"])
            .problems(&CHANGES, it),
        (Target::Models, _) => {
            Operation::new("listModels", "Every model").json::<ModelList>(200, "The models.", it).problems(&READS, it)
        }
        (Target::Model, Method::Put) => Operation::new("replaceModel", "Replaces a model that REST made")
            .takes(JSON, &["ModelReplacement", "DetectionModelManifest"])
            .json::<ModelAnswer>(200, "The model as it is now.", it)
            .problems(&CHANGES, it)
            .problems(&[NOT_FOUND], it),
        (Target::Model, Method::Delete) => Operation::new("deleteModel", "Deletes a model that no source uses")
            .empty(204, "It is deleted.")
            .problems(&READS, it)
            .problems(&[NOT_FOUND, CHANGES[2], CHANGES[6], CHANGES[7], CHANGES[8]], it),
        (Target::Model, _) => Operation::new("getModel", "One model")
            .json::<ModelAnswer>(200, "The model.", it)
            .problems(&READS, it)
            .problems(&[NOT_FOUND], it),
    };
    let mut operation = made.finish(route);
    if matches!((route.target, method), (Target::Sources | Target::Models, Method::Get)) {
        operation["parameters"] = json!([namespace()]);
    }
    operation
}

/// The documents that requests bring.
fn submitted() -> Map<String, Value> {
    let (source, model) = (plain(spec_schema(Kind::VideoSource)), plain(spec_schema(Kind::DetectionModel)));
    let name = json!({
        "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "description": "The object's name (DNS-1123).",
    });
    let words: Vec<Value> = SourceType::ALL.iter().map(|kind| kind.name.into()).chain([Value::Null]).collect();
    let beside = json!({
        "id": name,
        "namespace": { "type": "string", "minLength": 1, "maxLength": 63, "description": "`default` where absent." },
        "type": { "enum": words, "description": "Checked against the URI's scheme." },
        "model": { "type": ["string", "null"], "description": "Short for `modelRef.name`." },
        "credentials": { "$ref": "#/components/schemas/Credentials" },
    });
    let mut of_model = beside.clone();
    if let Value::Object(of_model) = &mut of_model {
        of_model.retain(|field, _| ["id", "namespace"].contains(&field.as_str()));
    }
    let manifest = |kind: &str, spec: &str| {
        json!({
            "type": "object",
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": {
                "apiVersion": { "const": crds::API_VERSION },
                "kind": { "const": kind },
                "metadata": { "type": "object", "required": ["name"], "properties": { "name": beside["id"] } },
                "spec": { "$ref": format!("#/components/schemas/{spec}") },
            },
        })
    };
    let mut source_manifest = manifest("VideoSource", "VideoSourceSpec");
    source_manifest["properties"]["credentials"] = beside["credentials"].clone();
    let schemas = json!({
        "Credentials": {
            "type": ["object", "null"],
            "description": "The source's login. Kept, and never shown.",
            "required": ["username", "password"],
            "additionalProperties": false,
            "properties": {
                "username": { "type": "string", "minLength": 1, "maxLength": 1024 },
                "password": { "type": "string", "maxLength": 4096, "format": "password", "writeOnly": true },
            },
        },
        "SourceSubmission": short(&source, &beside, &["id", "uri"]),
        "SourceReplacement": short(&source, &beside, &["uri"]),
        "SourcePatch": {
            "type": "object",
            "description": "A JSON merge patch of the source's spec in the short form: null takes a field back to its \
                            default.",
        },
        "VideoSourceManifest": source_manifest,
        "ModelSubmission": short(&model, &of_model, &["id", "source"]),
        "ModelReplacement": short(&model, &of_model, &["source"]),
        "DetectionModelManifest": manifest("DetectionModel", "DetectionModelSpec"),
        "VideoSourceSpec": source,
        "DetectionModelSpec": model,
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}

/// The short form: the fields of a spec, and those beside it.
fn short(spec: &Value, beside: &Value, required: &[&str]) -> Value {
    let mut schema = spec.clone();
    schema["required"] = json!(required);
    if let (Value::Object(fields), Value::Object(beside)) = (&mut schema["properties"], beside) {
        fields.extend(beside.clone());
    }
    schema
}

/// A schema of a resource definition as plain JSON Schema: without what only Kubernetes knows, and as strict as the
/// pod, which refuses unknown fields and takes null for an absent field.
fn plain(schema: &Value) -> Value {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(items) => return items.iter().map(plain).collect(),
        other => return other.clone(),
    };
    let mut plain_fields: Map<String, Value> = fields
        .iter()
        .filter(|(name, _)| !name.starts_with("x-kubernetes-") && *name != "nullable")
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect();
    if fields.get("nullable") == Some(&Value::Bool(true)) {
        allow_null(&mut plain_fields);
    }
    if fields.get("type") == Some(&json!("object"))
        && let Some(Value::Object(properties)) = plain_fields.get_mut("properties")
    {
        let required: Vec<&str> =
            fields.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in properties {
            if let (false, Value::Object(property)) = (required.contains(&name.as_str()), property) {
                allow_null(property);
            }
        }
        plain_fields.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    Value::Object(plain_fields)
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(kind) = schema.get("type").filter(|kind| kind.is_string()).cloned() {
        schema.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}
