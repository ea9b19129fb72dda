//! The real program under its configuration: files, SIGHUP and requests change what can change, while frames go on.

#![allow(clippy::unwrap_used, missing_docs)]

mod pod_process;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use pod_process::PodProcess;
use serde_json::{Value, json};

const SOURCES: &str = "sources:\n- {id: street, uri: 'sim://street?seed=1&fps=10&width=320&height=240'}\n";

/// Waits until what `look` gives is as wanted; panics with the last one after a while.
fn wait_for<T: std::fmt::Debug>(pod: &PodProcess, look: impl Fn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let seen = look();
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{seen:?}\n{}", pod.log());
        thread::sleep(Duration::from_millis(50));
    }
}

fn source(pod: &PodProcess, name: &str) -> Value {
    pod.get(&format!("/api/v1/sources/{name}"))
}

fn processed(source: &Value) -> u64 {
    source["status"]["frames"]["processed"].as_u64().unwrap_or_default()
}

fn wait_for_frames(pod: &PodProcess, name: &str, more_than: u64) -> Value {
    wait_for(pod, || source(pod, name), |source| processed(source) > more_than)
}

fn setting(pod: &PodProcess, key: &str) -> (Value, Value) {
    let told = pod.get("/api/v1/config");
    (told["settings"][key]["value"].clone(), told["settings"][key]["origin"]["kind"].clone())
}

/// Lines of observations so far.
fn observations(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn config(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_analytics-pod"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env("VISION_STATE_FOLDER", folder.join("state"))
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn requests_change_a_running_source_without_a_gap_and_survive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("pod.yaml"));
    fs::write(&file, format!("{SOURCES}outputs: ['file:out.jsonl']\n")).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    let pod = PodProcess::start(&state, &arguments);
    wait_for_frames(&pod, "street", 5);
    let whole = observations(&folder.path().join("out.jsonl"));
    assert!(whole.iter().any(|line| !line["objects"].as_array().unwrap().is_empty()), "the street has objects");

    let changed = pod.send("PUT", "/api/v1/config/detection", &json!({"confidence": 1.0}));
    assert_eq!(changed.0, 200, "{}", changed.1);
    let at = processed(&source(&pod, "street"));
    // One that was on its way when the change came may be published after it.
    wait_for_frames(&pod, "street", at + 10);
    let refused = pod.send("POST", "/api/v1/config", &json!({"log": {"level": "debug"}, "listen": "127.0.0.1:1"}));
    assert_eq!(refused.0, 409, "{}", refused.1);
    assert_eq!(setting(&pod, "log.level").1, "profile");
    let all = observations(&folder.path().join("out.jsonl"));
    let last = &all[all.len() - 5..];
    assert!(last.iter().all(|line| line["objects"] == json!([])), "nothing is certain: {last:?}");
    let sessions: std::collections::BTreeSet<_> = all.iter().map(|line| line["session"].as_u64()).collect();
    assert_eq!(sessions.len(), 1, "the source did not begin anew");
    let status = source(&pod, "street")["status"].clone();
    assert_eq!((&status["retries"], &status["errors"]), (&json!(0), &json!({})));

    pod.killer().kill();
    drop(pod);
    let pod = PodProcess::start(&state, &arguments);
    assert_eq!(setting(&pod, "detection.confidence"), (json!(1.0), json!("rest")));
    let taken_back = pod.send("POST", "/api/v1/config", &json!({"detection": null}));
    assert_eq!(taken_back.0, 200, "{}", taken_back.1);
    assert_eq!(setting(&pod, "detection.confidence"), (Value::Null, json!("profile")));
    pod.end();
}

#[test]
fn a_hang_up_reads_the_file_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (state, file) = (folder.path().join("state"), folder.path().join("pod.yaml"));
    let write = |text: &str| fs::write(&file, text).unwrap();
    write(SOURCES);
    let pod = PodProcess::start(&state, &["--config", file.to_str().unwrap(), "--output", "none"]);
    wait_for_frames(&pod, "street", 3);
    let told = |text: &str| wait_for(&pod, || pod.log(), |log| log.contains(text));

    // Another source, other detection, a chattier log, and something for the next start.
    let second = "- {id: second, uri: 'test://smpte', detection: {fps: 2}}\n";
    write(&format!(
        "{SOURCES}{second}detection: {{fps: 3}}\nlog: {{level: 'warn,analytics_pod=debug'}}\nstatistics: {{interval: 1s}}\n"
    ));
    pod.hang_up();
    told("configuration read anew");
    told("in force after the next start of the pod");
    wait_for(&pod, || pod.get("/api/v1/sources")["sources"].as_array().unwrap().len(), |count| *count == 2);
    wait_for_frames(&pod, "second", 1);
    assert_eq!(setting(&pod, "detection.fps"), (json!(3), json!("file")));
    let shown = pod.get("/api/v1/config");
    assert_eq!(shown["pendingRestart"], json!(["statistics.interval"]));
    // Requests that only look are logged at this level.
    told("\"path\":\"/api/v1/config\"");

    // A mistake: all of it stays, and one line says why.
    let before = processed(&source(&pod, "street"));
    write(&format!("{SOURCES}detection: {{fps: 0}}\n"));
    pod.hang_up();
    let log = told("the configuration stays as it was");
    let line = log.lines().find(|line| line.contains("stays as it was")).unwrap();
    assert!(line.contains("pod.yaml:3") && line.contains("detection.fps"), "{line}");
    assert_eq!(setting(&pod, "detection.fps"), (json!(3), json!("file")));
    let street = wait_for_frames(&pod, "street", before + 2);
    assert_eq!((&street["status"]["retries"], &street["status"]["errors"]), (&json!(0), &json!({})));

    write("log: {level: warn}\n");
    pod.hang_up();
    wait_for(&pod, || pod.get("/api/v1/sources")["sources"].as_array().unwrap().len(), |count| *count == 0);
    assert_eq!(setting(&pod, "log.level").0, "warn");
    told("no file and no list declares a source any more");
    pod.end();
}

#[test]
fn a_check_of_a_configuration_checks_all_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "apiVersion: vision-operator.dev/v1alpha1\nkind: VideoSource\nmetadata: {name: gate}\nspec: {uri: 'test://smpte', \
                    modelRef: {name: absent}}\n";
    fs::write(folder.path().join("gate.yaml"), manifest).unwrap();
    fs::write(folder.path().join("pod.yaml"), format!("{SOURCES}files: [gate.yaml]\n")).unwrap();
    let check = || config(folder.path(), &["check", "--config", "pod.yaml"], &[]);
    let told = String::from_utf8(check().stdout).unwrap();
    assert!(told.contains("default/starter") && told.contains("gate.yaml") && told.contains("absent"), "{told}");
    fs::write(folder.path().join("gate.yaml"), manifest.replace("absent", "starter")).unwrap();
    let output = check();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("2 VideoSource(s)"), "{told}");
    fs::write(folder.path().join("pod.yaml"), "source: []\n").unwrap();
    let output = check();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("pod.yaml:1: source: is not a known field"), "{said}");
}

#[test]
fn the_level_of_the_log_changes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pod = PodProcess::start(folder.path(), &[]);
    let looks = |marker: &str| pod.text(&format!("/api/v1/{marker}"));
    looks("sources");
    assert_eq!(pod.send("POST", "/api/v1/config", &json!({"log": {"level": "warn,analytics_pod::api=debug"}})).0, 200);
    looks("models");
    wait_for(&pod, || pod.log(), |log| log.contains("\"path\":\"/api/v1/models\""));
    assert_eq!(pod.send("POST", "/api/v1/config", &json!({"log": {"level": "off"}})).0, 200);
    looks("status");
    let log = pod.end();
    assert!(!log.contains("\"path\":\"/api/v1/sources\"") && !log.contains("\"path\":\"/api/v1/status\""), "{log}");
}

#[test]
fn a_bad_configuration_is_one_line_and_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pod.yaml");
    for (text, expected) in [
        ("log:\n  levl: debug\n", "error: pod.yaml:2: log.levl: is not a known field; did you mean level?\n"),
        (
            "sources:\n- id: gate\n  uri: rtsp://camera/1\n  detection: {iou: 2}\n",
            "error: pod.yaml:4: VideoSource default/gate: spec.detection.iou: is 2; write a number from 0 to 1\n",
        ),
        (
            "model: nope\nsources: [{id: gate, uri: 'rtsp://camera/1'}]\n",
            "error: --model nope: is no built-in model; write one of starter, or a path that ends in .yaml or .onnx\n",
        ),
    ] {
        fs::write(&file, text).unwrap();
        for arguments in [&["run", "--config", "pod.yaml"][..], &["config", "show", "--config", "pod.yaml"]] {
            let output = config(folder.path(), arguments, &[]);
            assert_eq!(output.status.code(), Some(2));
            assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
            assert!(!folder.path().join("state").exists());
        }
    }
    let output = config(folder.path(), &["run"], &[("VISION_LISTEN", "8080")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.starts_with("error: VISION_LISTEN: listen: "), "{said}");
}

#[test]
fn the_program_shows_its_configuration_and_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pod.yaml"), "extends: production\nlisten: 127.0.0.1:9000\n").unwrap();
    let show = |format: &str| {
        let arguments = ["config", "show", "--config", "pod.yaml", "--rotate-keep", "2", "--format", format];
        let output = config(folder.path(), &arguments, &[("VISION_MODLE", "x")]);
        let warned = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && warned.contains("VISION_MODLE sets nothing; did you mean VISION_MODEL?"),
            "{warned}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let table = show("table");
    let line =
        |key: &str| table.lines().find(|line| line.starts_with(key)).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(line("listen"), ["listen", "127.0.0.1:9000", "pod.yaml:2"]);
    assert_eq!(line("rotation.keep"), ["rotation.keep", "2", "--rotate-keep"]);
    assert_eq!(line("log.format")[..4], ["log.format", "JSON", "profile", line("log.format")[3]]);
    let json: Value = serde_json::from_str(&show("json")).unwrap();
    assert_eq!(
        json["settings"]["stateFolder"]["origin"],
        json!({"kind": "environment", "variable": "VISION_STATE_FOLDER"})
    );

    // What is shown as a file is one.
    fs::write(folder.path().join("shown.yaml"), show("yaml")).unwrap();
    let again = config(folder.path(), &["config", "show", "--config", "shown.yaml", "--format", "yaml"], &[]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), show("yaml"));

    let schema = config(folder.path(), &["config", "schema"], &[]);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["detection"]["properties"]["confidence"]["maximum"] == json!(1.0), "{schema}");
}

#[test]
fn metrics_and_documents_are_as_configured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pod.json");
    fs::write(&file, json!({"metrics": {"path": "/pod/metrics"}, "api": {"maxBody": "1KiB"}}).to_string()).unwrap();
    let pod = PodProcess::start(&folder.path().join("state"), &["--config", file.to_str().unwrap()]);
    assert!(pod.text("/pod/metrics").contains("vision_pod_"));
    assert_eq!(pod.try_request("GET", "/metrics", None).unwrap().0, 404);
    assert!(pod.get("/api/v1/openapi.json")["paths"]["/pod/metrics"]["get"].is_object());
    let long = json!({"id": "long", "uri": format!("test://{}", "x".repeat(2000))});
    assert_eq!(pod.send("POST", "/api/v1/sources", &long).0, 413);
}
