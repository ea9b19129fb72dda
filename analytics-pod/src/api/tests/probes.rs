//! Probes, metrics, health, and the server's own life.

use std::net::TcpStream;

use serde_json::json;

use super::*;
use crate::{
    observation::SourceKey,
    source::{Failure, Reason},
    telemetry::StreamState,
};

#[test]
fn probes_follow_the_pod() {
    let pod = Running::start();
    let status = |path: &str| pod.get(path).status;
    assert_eq!((status("/livez"), status("/startupz"), status("/readyz")), (200, 503, 503));
    pod.health.set_started();
    assert_eq!((status("/livez"), status("/startupz"), status("/readyz")), (200, 200, 200));
    pod.health.set_stopping();
    assert_eq!((status("/livez"), status("/startupz"), status("/readyz")), (200, 200, 503));
    assert_eq!(status("/nothing"), 404);
}

#[test]
fn metrics_are_those_of_the_registry() {
    let pod = Running::start();
    pod.telemetry.add_source(&SourceKey::new("shop", "gate")).count_received(1);
    let told = pod.get("/metrics");
    assert_eq!((told.status, told.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(told.text.contains(r#"vision_pod_frames_received_total{namespace="shop",source="gate"} 1"#));
}

#[test]
fn health_says_which_source_ails_and_why() {
    let pod = Running::start();
    let health = || {
        let told = pod.get("/health");
        (told.status, told.json())
    };
    assert_eq!(health().1["status"], "unhealthy");
    pod.health.set_started();
    assert_eq!((health().0, health().1["status"].clone()), (200, json!("healthy")));
    for name in ["gate", "yard", "idle"] {
        let body = json!({"id": name, "uri": "rtsp://camera/1", "enabled": name != "idle"});
        assert_eq!(pod.send("POST", "/api/v1/sources", &body).status, 201);
    }
    let gate = pod.telemetry.add_source(&SourceKey::new("default", "gate"));
    let yard = pod.telemetry.add_source(&SourceKey::new("default", "yard"));
    gate.set_state(StreamState::Streaming);
    yard.set_state(StreamState::Connecting);
    assert_eq!(health().1["status"], "healthy");
    yard.set_last_failure(Failure::new(Reason::HostUnreachable, "connection refused"));
    yard.set_consecutive_failures(2);
    yard.set_state(StreamState::Backoff);
    let (status, report) = health();
    assert_eq!((status, &report["status"]), (200, &json!("degraded")));
    assert_eq!(report["reasons"], json!(["default/yard: HostUnreachable: connection refused"]));
    gate.set_state(StreamState::Stalled);
    assert_eq!((health().0, health().1["status"].clone()), (503, json!("unhealthy")));
    assert_eq!(pod.get("/livez").status, 200);
}

#[test]
fn a_port_in_use_is_said_so() {
    let first = Running::start();
    let services = Services {
        telemetry: Arc::default(),
        health: Arc::default(),
        registry: Arc::clone(&first.registry),
        config: config_of(&first.registry, None),
        models: Models::default(),
        frames: FrameRequests::default(),
        engine: "native",
        cores: 1,
        token: None,
        metrics_path: "/metrics".to_owned(),
        max_body: 1 << 20,
    };
    let error = first.runtime.block_on(Server::start(first.address, services)).unwrap_err();
    assert!(matches!(error, ApiError::InUse { address } if address == first.address), "{error}");
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let mut pod = Running::start();
    let connection = TcpStream::connect(pod.address).unwrap();
    let server = pod.server.take().unwrap();
    let stop = async { tokio::time::timeout(Duration::from_secs(10), server.stop(Duration::from_millis(100))).await };
    assert!(pod.runtime.block_on(stop).is_ok());
    drop(connection);
}
