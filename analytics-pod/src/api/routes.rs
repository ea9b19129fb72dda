//! Paths and their answers.

use std::sync::Arc;

use warp::{
    Filter, Rejection, Reply,
    http::{StatusCode, header::CONTENT_TYPE},
};

use super::Health;
use crate::telemetry::{Telemetry, encode_metrics};

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every route of the server.
pub(super) fn all(
    telemetry: Arc<Telemetry>,
    health: Arc<Health>,
) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let metrics = warp::path!("metrics").map(move || match encode_metrics(&telemetry) {
        Ok(text) => warp::reply::with_header(text, CONTENT_TYPE, METRICS_TYPE).into_response(),
        Err(error) => warp::reply::with_status(format!("{error}\n"), StatusCode::INTERNAL_SERVER_ERROR).into_response(),
    });
    // Answering at all is what liveness means: a camera never makes the pod die.
    let live = warp::path!("livez").map(|| probe(true, ""));
    let started = warp::path!("startupz").map({
        let health = Arc::clone(&health);
        move || probe(health.is_started(), "models are being opened")
    });
    let ready = warp::path!("readyz").map(move || probe(health.is_ready(), "starting or ending"));
    warp::get().and(metrics.or(live).or(started).or(ready))
}

fn probe(good: bool, otherwise: &str) -> impl Reply {
    let (text, status) = if good { ("ok", StatusCode::OK) } else { (otherwise, StatusCode::SERVICE_UNAVAILABLE) };
    warp::reply::with_status(format!("{text}\n"), status)
}
