//! Where a run's observations, figures and log go, with the real program.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// `analytics-pod run`, in `folder` and with its state there.
fn pod(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_analytics-pod"))
        .args(["run", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .current_dir(folder)
        .env("VISION_STATE_FOLDER", folder.join("state"))
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// Some seconds of a street.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    // They begin when the model is open.
    pod(folder, &[&["sim://street?seed=3&fps=10&width=320&height=240&frames=30"], arguments].concat())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_output_has_every_observation() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        folder.path(),
        &[
            "--output=stdout",
            "--output=file:out/observations.jsonl",
            "--output=frames:frames",
            "--stats-file=worker_stats.json",
            "--log-file=pod.log",
        ],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = lines(&String::from_utf8(output.stdout).unwrap());
    assert!(printed.len() > 5, "{}", printed.len());
    let filed = fs::read_to_string(folder.path().join("out/observations.jsonl")).unwrap();
    assert_eq!(lines(&filed), printed);

    let objects = |line: &Value| line["objects"].as_array().unwrap().len();
    let source = printed[0]["source"].as_str().unwrap();
    let files = fs::read_dir(folder.path().join("frames/default").join(source)).unwrap().count();
    assert_eq!(files, printed.iter().filter(|line| objects(line) > 0).count());

    let stats = fs::read_to_string(folder.path().join("worker_stats.json")).unwrap();
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["frames"], printed.len());
    assert_eq!(stats["detections"], printed.iter().map(objects).sum::<usize>());
    assert_eq!((&stats["errors"], &stats["reconnects"]), (&0.into(), &0.into()));
    assert!(stats["latencyMs"]["p95"].as_f64().unwrap() > 0.0);
    assert!(stats["lastFrame"].as_str().unwrap() <= stats["end"].as_str().unwrap());

    let log = lines(&fs::read_to_string(folder.path().join("pod.log")).unwrap());
    assert!(log.iter().any(|line| line["message"] == "source added"), "{log:?}");
}

#[test]
fn an_output_that_cannot_be_written_is_said_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("taken"), "").unwrap();
    for (argument, field) in [
        ("--output=file:taken/observations.jsonl", "--output"),
        ("--output=frames:taken/frames", "--output"),
        ("--log-file=taken/pod.log", "--log-file"),
    ] {
        let output = run(folder.path(), &[argument]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.lines().count() == 1 && said.contains(field) && said.contains("taken/"), "{said}");
    }
}

#[test]
fn two_outputs_are_not_one_file_by_whatever_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
    for (other, key) in
        [("--output=file:link/lines", "outputs (--output)"), ("--log-file=link/lines", "log.file (--log-file)")]
    {
        let output = run(folder.path(), &["--output=file:real/lines", other]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let expected = format!("error: outputs (--output) and {key} are the same file, link/lines; name another one");
        assert_eq!(said.lines().last(), Some(&*expected), "{said}");
    }
}

#[test]
fn a_run_ends_when_all_that_a_command_line_names_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let output = pod(folder.path(), &["sim://street?seed=3&fps=30&frames=20"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let frames: Vec<_> =
        lines(&String::from_utf8(output.stdout).unwrap()).iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    assert_eq!(frames.last(), Some(&19), "the last frames are not lost: {frames:?}");
}

#[test]
fn a_model_that_cannot_be_opened_ends_a_run_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broken.onnx"), "no model").unwrap();
    for model in ["yolo", "broken.onnx"] {
        let output = pod(folder.path(), &["sim://street?seed=3", "--model", model]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("error: --model"), "{said}");
    }
}
