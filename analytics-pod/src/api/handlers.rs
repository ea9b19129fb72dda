//! What each endpoint does.

use std::sync::Arc;

use warp::http::StatusCode;

use super::{
    Services,
    answers::{self, ModelCreated, ModelList, Source, SourceCreated, SourceList},
    blocking::blocking,
    config, frame,
    health::{HealthReport, Verdict},
    message::{Answer, Answered, Request},
    openapi,
    pod_status::pod_status,
    problem::Failure,
    routes::{Method, Target},
};
use crate::{
    assign::{
        ModelKey,
        rest::{ChangeError, Registry, Snapshot},
    },
    observation::{DEFAULT_NAMESPACE, SourceKey},
    request_id::RequestId,
    telemetry::encode_metrics,
};

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const TEXT: &str = "text/plain; charset=utf-8";

/// Answers `request`.
pub(super) async fn answer(services: &Services, request: Request) -> Answered {
    let namespace = request.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    let source_key = SourceKey::new(namespace, &request.name);
    let model_key = ModelKey::new(namespace, &request.name);
    match (request.target, request.method) {
        // Answering at all is what liveness means: a camera never makes the pod die.
        (Target::Live, _) => Ok(probe(true, "")),
        (Target::Startup, _) => Ok(probe(services.health.is_started(), "models are being opened")),
        (Target::Ready, _) => Ok(probe(services.health.is_ready(), "starting or ending")),
        (Target::Health, _) => Ok(health(services)),
        (Target::Metrics, _) => metrics(services).await,
        (Target::Docs, _) => Ok(openapi::page()),
        (Target::Document, _) => Ok(Answer::json(StatusCode::OK, &*openapi::document(&services.metrics_path))),
        (Target::Frame, _) => frame::answer(services, &request.id, &source(services, &source_key)?, &source_key).await,
        (Target::Status, _) => {
            let sources = sources(services);
            let health = health_of(services, &sources).status;
            Ok(Answer::json(StatusCode::OK, &pod_status(services, &sources, health)))
        }
        (Target::Config | Target::ConfigDetection, _) => config::answer(services, request).await,
        (Target::Sources, Method::Post) => create_source(services, request).await,
        (Target::Sources, _) => {
            let namespace = request.namespace.as_deref();
            let sources = sources(services).into_iter();
            let wanted = sources.filter(|source| namespace.is_none_or(|namespace| namespace == &*source.namespace));
            Ok(Answer::json(StatusCode::OK, &SourceList { sources: wanted.collect() }))
        }
        (Target::Source, Method::Get | Method::Post) => {
            Ok(Answer::json(StatusCode::OK, &source(services, &source_key)?))
        }
        (Target::Source, Method::Delete) => {
            let key = source_key.clone();
            change(services, request.id, move |registry, id| registry.delete_source(id, &key)).await?;
            Ok(Answer::new(StatusCode::NO_CONTENT, TEXT, ""))
        }
        (Target::Source, method @ (Method::Put | Method::Patch)) => {
            let key = source_key.clone();
            let patch = method == Method::Patch;
            let body = request.body;
            change(services, request.id, move |registry, id| registry.change_source(id, &key, &body, patch)).await?;
            Ok(Answer::json(StatusCode::OK, &source(services, &source_key)?))
        }
        (Target::Models, Method::Post) => create_model(services, request).await,
        (Target::Models, _) => {
            let known = services.registry.snapshot();
            let keys = known.merged.models.keys();
            let wanted = keys.filter(|key| request.namespace.as_ref().is_none_or(|wanted| **wanted == *key.namespace));
            let models = wanted.filter_map(|key| answers::model(key, &known, &services.models)).collect();
            Ok(Answer::json(StatusCode::OK, &ModelList { models }))
        }
        (Target::Model, Method::Delete) => {
            let key = model_key.clone();
            change(services, request.id, move |registry, id| registry.delete_model(id, &key)).await?;
            Ok(Answer::new(StatusCode::NO_CONTENT, TEXT, ""))
        }
        (Target::Model, Method::Put) => {
            let key = model_key.clone();
            let body = request.body;
            change(services, request.id, move |registry, id| registry.replace_model(id, &key, &body)).await?;
            Ok(Answer::json(StatusCode::OK, &model(services, &model_key)?))
        }
        (Target::Model, _) => Ok(Answer::json(StatusCode::OK, &model(services, &model_key)?)),
    }
}

fn probe(good: bool, otherwise: &str) -> Answer {
    let (text, status) = if good { ("ok", StatusCode::OK) } else { (otherwise, StatusCode::SERVICE_UNAVAILABLE) };
    Answer::new(status, TEXT, format!("{text}\n"))
}

/// The kernel and a GPU's driver may take their time.
async fn metrics(services: &Services) -> Answered {
    let telemetry = Arc::clone(&services.telemetry);
    let encoded = tokio::task::spawn_blocking(move || encode_metrics(&telemetry)).await;
    let failed = |why: String| Answer::new(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{why}\n"));
    Ok(match encoded {
        Ok(Ok(text)) => Answer::new(StatusCode::OK, METRICS_TYPE, text),
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed("a fault of this program; its log says more".to_owned()),
    })
}

fn health_of(services: &Services, sources: &[Source]) -> HealthReport {
    HealthReport::of(&services.health, sources, &services.telemetry.outputs(), services.registry.unreadable())
}

fn health(services: &Services) -> Answer {
    let report = health_of(services, &sources(services));
    let status = match report.status {
        Verdict::Healthy | Verdict::Degraded => StatusCode::OK,
        Verdict::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    Answer::json(status, &report)
}

fn sources(services: &Services) -> Vec<Source> {
    let known = services.registry.snapshot();
    known.merged.sources.keys().filter_map(|key| known_source(services, &known, key)).collect()
}

fn known_source(services: &Services, known: &Snapshot, key: &SourceKey) -> Option<Source> {
    answers::source(key, known, &services.models, services.telemetry.source(key).as_deref())
}

fn source(services: &Services, key: &SourceKey) -> Result<Source, Failure> {
    known_source(services, &services.registry.snapshot(), key).ok_or_else(|| {
        let detail =
            format!("there is no VideoSource {key}; ?namespace= names another namespace than {DEFAULT_NAMESPACE}");
        Failure::not_found(detail)
    })
}

fn model(services: &Services, key: &ModelKey) -> Result<answers::ModelAnswer, Failure> {
    answers::model(key, &services.registry.snapshot(), &services.models).ok_or_else(|| {
        let detail =
            format!("there is no DetectionModel {key}; ?namespace= names another namespace than {DEFAULT_NAMESPACE}");
        Failure::not_found(detail)
    })
}

async fn create_source(services: &Services, request: Request) -> Answered {
    let made = change(services, request.id, move |registry, id| registry.create_source(id, &request.body)).await?;
    let source = source(services, &made.key)?;
    let location = format!("/api/v1/sources/{}{}", made.key.name, query_of(&made.key.namespace));
    let created = SourceCreated { status: "created", source_id: Arc::clone(&made.key.name), source };
    let mut answer = Answer::json(StatusCode::CREATED, &created);
    answer.headers.push(("location", location));
    Ok(answer)
}

async fn create_model(services: &Services, request: Request) -> Answered {
    let made = change(services, request.id, move |registry, id| registry.create_model(id, &request.body)).await?;
    let model = model(services, &made.key)?;
    let location = format!("/api/v1/models/{}{}", made.key.name, query_of(&made.key.namespace));
    let created = ModelCreated { status: "created", model_id: Arc::clone(&made.key.name), model };
    let mut answer = Answer::json(StatusCode::CREATED, &created);
    answer.headers.push(("location", location));
    Ok(answer)
}

fn query_of(namespace: &str) -> String {
    if namespace == DEFAULT_NAMESPACE { String::new() } else { format!("?namespace={namespace}") }
}

/// Changes are written to the disk, which may take its time.
async fn change<T: Send + 'static>(
    services: &Services,
    id: RequestId,
    what: impl FnOnce(&Registry, &RequestId) -> Result<T, ChangeError> + Send + 'static,
) -> Result<T, Failure> {
    if services.registry.is_of_cluster() {
        return Err(ChangeError::InCluster.into());
    }
    let registry = Arc::clone(&services.registry);
    blocking(move || what(&registry, &id)).await
}
