//! Every mistake is one line with its place, its key and what to do.

use super::*;

#[test]
fn each_mistake_has_its_place_and_remedy() {
    let mistakes = [
        "listen: 8080",
        "listen: 127.0.0.1:99999",
        "listen: null",
        "log: {levl: info}",
        "log: {level: debugg}",
        "log: {level: 'analytics_pod=loud'}",
        "log: {format: json}",
        "log: {rotation: {size: 100}}",
        "metrics: {path: metrics}",
        "metrics: {path: /api/v1/metrics}",
        "metrics: {path: /livez}",
        "detection: {confidence: 2}",
        "detection: {fps: 5, interval: 2s}",
        "detection: {interval: 0s}",
        "outputs: []",
        "outputs: [stdout, stdout]",
        "outputs: [none, stdout]",
        "outputs: ['kafka:topic']",
        "statistics: {interval: 0s}",
        "maxDuration: 5",
        "rotation: {keep: -1}",
        "detector: {workers: 0}",
        "sources: {id: gate}",
        "listn: 127.0.0.1:8080",
        "[1, 2]",
        "listen: [",
        "model: a\n---\nmodel: b",
    ];
    let told: Vec<String> = mistakes
        .iter()
        .map(|text| {
            let folder = folder(&[("pod.yaml", &format!("# first\n{text}\n"))]);
            let error = read(&folder.path().join("pod.yaml")).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{text}: {error}");
            error.replace(&*folder.path().to_string_lossy(), "")
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn mistakes_of_the_environment_and_of_flags_name_them() {
    for (name, value, expected) in [
        (
            "VISION_LISTEN",
            "nowhere",
            "VISION_LISTEN: listen: is not written as it must be; write a text like 127.0.0.1:8080 or [::1]:8080",
        ),
        (
            "VISION_ROTATION_KEEP",
            "many",
            "VISION_ROTATION_KEEP: rotation.keep: is a text, expected a whole number; write a whole number from 0 to 10000",
        ),
        ("VISION_DETECTION_IOU", "1.5", "VISION_DETECTION_IOU: detection.iou: is 1.5; write a number from 0 to 1"),
        (
            "VISION_SOURCES",
            "gate",
            "VISION_SOURCES: sources: is a text, expected a list; write a list of 0 to 100000 entries",
        ),
        ("VISION_PROFILE", "dev", "VISION_PROFILE: is no built-in profile; did you mean development?"),
        (
            "RUST_LOG",
            "loud",
            "RUST_LOG: log.level: \"loud\" names no level; write levels (off, error, warn, info, debug, trace), as in warn,analytics_pod::source=debug",
        ),
    ] {
        assert_eq!(with_environment(&[(name, value)]).unwrap_err().to_string(), expected);
    }
    let flags = vec![flag("--rotate-size", "rotation.size", json!("100MB"))];
    let error = Inputs::new(None, None, Vec::new(), flags).read().unwrap_err().to_string();
    assert_eq!(error, "--rotate-size: is not written as it must be; write a text like 512KiB or 100MiB or 2GiB");
}

#[test]
fn a_listed_source_is_read_as_a_manifest_is() {
    let text = "sources:\n- id: gate\n  uri: rtsp://camera/1\n  detection:\n    confidence: 2\n- id: yard\n  uri: file:yard.mp4\n  \
                credentials: {username: a, password: hunter2}\n- {id: yard, uri: 'test://smpte', type: rtsp}\n- {kind: DetectionModel}\n\
                models:\n- {id: own, source: {}}\n";
    let folder = folder(&[("pod.yaml", text)]);
    let effective = read(&folder.path().join("pod.yaml")).unwrap();
    let model = crate::assign::DesiredModel {
        key: crate::assign::ModelKey::new("default", "starter"),
        spec: crds::DetectionModelSpec::new(crds::ModelSource::default()),
    };
    let told = effective.listed(Some(model.into())).unwrap_err().to_string();
    assert!(!told.contains("hunter2"), "{told}");
    insta::assert_snapshot!(told.replace(&*folder.path().to_string_lossy(), ""));
}
