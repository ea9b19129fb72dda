//! The configuration over HTTP.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use warp::http::StatusCode;

use super::{
    Services,
    blocking::blocking,
    message::{Answer, Answered, Request},
    routes::Method,
};
use crate::config::{self, Shown};

/// What is in force; of a request that changes it, afterwards.
pub(super) async fn answer(services: &Services, request: Request) -> Answered {
    let store = Arc::clone(&services.config);
    match request.method {
        Method::Post => blocking(move || store.change(&request.body)).await?,
        Method::Put => blocking(move || store.replace_detection(&request.body)).await?,
        Method::Get | Method::Patch | Method::Delete => {}
    }
    Ok(Answer::json(StatusCode::OK, &shown(services)))
}

fn shown(services: &Services) -> Shown {
    services.config.shown()
}

/// The documents that requests bring.
pub(super) fn submitted() -> Map<String, Value> {
    let mut change = config::run_time_schema();
    change["description"] = "A JSON merge patch (RFC 7396) of what requests have said before: null takes a key back to \
                             what files, environment and flags say. A key that cannot be changed while the pod runs may \
                             only have the value that it has."
        .into();
    let mut detection = config::detection_schema();
    detection["type"] = json!("object");
    detection["description"] =
        "What sources detect that do not say it themselves, as a whole: a key that is absent or \
                                null is the model's to say."
            .into();
    Map::from_iter([("ConfigChange".to_owned(), change), ("DetectionDefaults".to_owned(), detection)])
}
