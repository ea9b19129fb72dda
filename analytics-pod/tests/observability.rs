//! What can be seen of a running pod from outside: from a request to its frames, metrics that go with what they tell of,
//! and the command that asks how it does.

#![allow(clippy::unwrap_used, missing_docs)]

mod pod_process;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use pod_process::PodProcess;
use serde_json::{Value, json};

/// Far more than anything here takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something is there.
fn until<T>(pod: &PodProcess, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}\n{}", pod.log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether an observation in the file has this request's id.
fn is_published_for(observations: &Path, id: &str) -> Option<()> {
    let text = fs::read_to_string(observations).unwrap_or_default();
    // The last line may be half written.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.into_iter().any(|line| line["metadata"]["requestId"] == id).then_some(())
}

/// Whether the log has such a line of this request.
fn has_line(log: &str, message: &str, id: &str) -> bool {
    log.lines().any(|line| {
        serde_json::from_str::<Value>(line).is_ok_and(|line| line["message"] == message && line["request_id"] == id)
    })
}

#[test]
fn a_request_is_found_again_in_the_log_the_status_and_the_frames() {
    let folder = tempfile::tempdir().unwrap();
    let observations = folder.path().join("observations.jsonl");
    let output = format!("file:{}", observations.display());
    let pod = PodProcess::start(&folder.path().join("state"), &["--verbose", "--output", &output]);
    let published = |id: &str| until(&pod, id, || is_published_for(&observations, id));
    let status = || pod.get("/api/v1/sources/made")["status"].clone();

    let made = json!({"id": "made", "uri": "sim://street?seed=2&fps=10&width=320&height=240"});
    assert_eq!(pod.send_as("make-1", "POST", "/api/v1/sources", &made).0, 201);
    published("make-1");
    assert_eq!(status()["lastRequestId"], "make-1");

    let change = json!({"detection": {"fps": 5}});
    assert_eq!(pod.send_as("change-2", "PATCH", "/api/v1/sources/made", &change).0, 200);
    published("change-2");
    assert_eq!((&status()["lastRequestId"], &status()["retries"]), (&json!("change-2"), &json!(0)));

    let model = json!({"id": "second", "source": {"builtin": "starter"}, "thresholds": {"confidence": 0.5}});
    assert_eq!(pod.send_as("model-3", "POST", "/api/v1/models", &model).0, 201);
    assert_eq!(pod.send_as("switch-4", "PATCH", "/api/v1/sources/made", &json!({"model": "second"})).0, 200);
    published("switch-4");
    until(&pod, "confidences of the second model", || {
        pod.text("/metrics")
            .contains(r#"vision_pod_object_confidence_count{namespace="default",model="second""#)
            .then_some(())
    });
    let metrics = pod.text("/metrics");
    for series in [
        r#"vision_pod_objects_total{namespace="default",source="made""#,
        r#"vision_pod_model_loads_total{namespace="default",model="second",result="Ready"} 1"#,
        r#"vision_pod_model_loaded{namespace="default",model="second""#,
        "vision_pod_process_threads ",
    ] {
        assert!(metrics.contains(series), "{series}: {metrics}");
    }

    assert_eq!(pod.send_as("drop-5", "DELETE", "/api/v1/sources/made", &Value::Null).0, 204);
    assert_eq!(pod.send_as("drop-6", "DELETE", "/api/v1/models/second", &Value::Null).0, 204);
    let gone = |text: &str| !text.contains("source=\"made\"") && !text.contains("model=\"second\"");
    until(&pod, "the series' end", || gone(&pod.text("/metrics")).then_some(()));
    until(&pod, "the source's end", || has_line(&pod.log(), "source removed", "drop-5").then_some(()));

    let log = pod.end();
    for (message, id) in [
        ("request", "make-1"),
        ("source added", "make-1"),
        ("streaming", "make-1"),
        ("first frame", "make-1"),
        ("source changed; its connection stays", "change-2"),
        ("model ready", "model-3"),
        ("source changed; its connection stays", "switch-4"),
        ("model switched", "switch-4"),
        ("source removed", "drop-5"),
    ] {
        assert!(has_line(&log, message, id), "{message} of {id}: {log}");
    }
}

#[test]
fn a_new_connection_is_known_by_the_request_that_asked_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pod = PodProcess::start(folder.path(), &["--verbose"]);
    let made = json!({"id": "camera", "uri": "rtsp://127.0.0.1:9/one"});
    assert_eq!(pod.send_as("one", "POST", "/api/v1/sources", &made).0, 201);
    let failed = |id: &str| {
        let told = |line: &str| {
            serde_json::from_str::<Value>(line)
                .is_ok_and(|line| line["reason"] == "HostUnreachable" && line["request_id"] == id)
        };
        until(&pod, id, || pod.log().lines().any(told).then_some(()));
    };
    failed("one");
    let other = json!({"uri": "rtsp://127.0.0.1:9/two"});
    assert_eq!(pod.send_as("two", "PATCH", "/api/v1/sources/camera", &other).0, 200);
    failed("two");
    assert!(has_line(&pod.log(), "state", "two"), "connecting: {}", pod.log());
}

#[test]
fn health_says_how_a_pod_does_in_a_word_and_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let pod = PodProcess::start(folder.path(), &[]);
    let good = json!({"id": "good", "uri": "sim://street?seed=2&fps=10&width=320&height=240"});
    assert_eq!(pod.send("POST", "/api/v1/sources", &good).0, 201);
    let code = |arguments: &[&str]| pod.health(arguments).status.code().unwrap();
    let becomes = |wanted: i32| until(&pod, &format!("exit code {wanted}"), || (code(&[]) == wanted).then_some(()));
    let streams = || pod.get("/api/v1/sources/good")["status"]["frames"]["processed"].as_u64() > Some(3);
    until(&pod, "frames", || streams().then_some(()));
    becomes(0);

    let dead = json!({"id": "dead", "uri": "rtsp://127.0.0.1:9/"});
    assert_eq!(pod.send("POST", "/api/v1/sources", &dead).0, 201);
    becomes(1);
    let told = pod.health(&["--detailed", "--output", "json"]);
    assert_eq!(told.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["status"], &told["watched"]), (&json!("degraded"), &json!(2)));
    let (dead, good) = (&told["sources"][0], &told["sources"][1]);
    assert_eq!((&dead["id"], &dead["lastError"]["reason"]), (&json!("dead"), &json!("HostUnreachable")));
    assert_eq!((&good["id"], &good["state"]), (&json!("good"), &json!("Streaming")));
    assert!(good["processedFps"].as_f64() > Some(1.0) && good["latencyMs"]["p95"].as_f64() > Some(0.0), "{good}");
    let model = &told["models"][0];
    assert_eq!((&model["id"], &model["state"]), (&json!("starter"), &json!("Ready")));
    assert!(model["processedFps"].as_f64() > Some(1.0) && model["lastFrameTime"].is_string(), "{model}");
    let table = pod.health(&["--detailed"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.starts_with("degraded: ") && table.contains("default/dead") && table.contains("default/starter"),
        "{table}"
    );

    assert_eq!(pod.send("DELETE", "/api/v1/sources/good", &Value::Null).0, 204);
    becomes(2);
    assert_eq!(code(&["--live"]), 0, "a container is not restarted for its cameras' sake");
}

#[test]
fn health_says_that_nobody_answers() {
    let folder = tempfile::tempdir().unwrap();
    let pod = PodProcess::start(folder.path(), &[]);
    // An address that is surely free afterwards for a while.
    let health = |arguments: &[&str]| pod.health(arguments);
    pod.killer().kill();
    let gone = until(&pod, "the pod's end", || Some(health(&[])).filter(|told| told.status.code() == Some(3)));
    let told = String::from_utf8(gone.stderr).unwrap();
    assert!(told.starts_with("unreachable: ") && told.contains("--address") && told.contains("refused"), "{told}");
    assert_eq!(gone.stdout, b"");
    assert_eq!(health(&["--live"]).status.code(), Some(1));
    let json = health(&["--output", "json"]);
    assert_eq!(json.status.code(), Some(3));
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["status"], "unreachable");
}

#[test]
fn an_output_that_takes_nothing_is_told_and_no_crash() {
    for (arguments, code) in [(&["check"][..], 2), (&["health", "--address", "127.0.0.1:9", "--output", "json"], 3)] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_analytics-pod"));
        let output = command.args(arguments).stdout(full).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains("error: standard output: ") && !told.contains("panicked"), "{told}");
    }
}
