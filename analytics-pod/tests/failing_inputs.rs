//! Inputs and disks that fail, with the real program: each says why in its own words, and no other source feels it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pod_process;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use gstreamer::{self as gst, prelude::*};
use pod_process::PodProcess;
use serde_json::{Value, json};

/// Far more than anything here takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_mins(2);

const NEIGHBOUR: &str = "sim://street?seed=1&fps=10&width=320&height=240";

/// Looks again and again until there is something.
fn wait<T>(what: &str, pod: &PodProcess, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}\n{}", pod.log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// A pod with a source that works, and that source's name.
fn pod_with_neighbour(folder: &Path) -> (PodProcess, String) {
    let pod = PodProcess::start(&folder.join("state"), &[NEIGHBOUR]);
    let name = pod.get("/api/v1/sources")["sources"][0]["id"].as_str().unwrap().to_owned();
    wait("the neighbour streams", &pod, || (frames(&pod, &name) > 3).then_some(()));
    (pod, name)
}

fn frames(pod: &PodProcess, name: &str) -> u64 {
    pod.get(&format!("/api/v1/sources/{name}"))["status"]["frames"]["processed"].as_u64().unwrap_or_default()
}

/// The neighbour goes on, and has never failed.
fn untouched(pod: &PodProcess, name: &str) {
    let before = frames(pod, name);
    wait("the neighbour goes on", pod, || (frames(pod, name) > before + 3).then_some(()));
    let status = pod.get(&format!("/api/v1/sources/{name}"))["status"].clone();
    assert_eq!((&status["retries"], &status["errors"]), (&json!(0), &json!({})), "{status:#}");
}

/// Writes what `elements` make; an element named `cut` lets no key frames through.
fn make_clip(elements: &str, path: &Path) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!("{elements} ! filesink location={}", path.display())).unwrap();
    let bus = pipeline.bus().unwrap();
    if let Some(cut) = pipeline.downcast_ref::<gst::Bin>().and_then(|bin| bin.by_name("cut")) {
        cut.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, |_, info| {
            let key_frame = info.buffer().is_some_and(|buffer| !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
            if key_frame { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
        });
    }
    pipeline.set_state(gst::State::Playing).unwrap();
    let end =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Eos, gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(end.map(|message| message.type_()), Some(gst::MessageType::Eos), "{elements}");
}

/// An RTSP camera that answers `DESCRIBE` with a status, for as long as the test runs.
fn camera_that_answers(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("rtsp://{}/camera", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut heard = [0; 4096];
                while let Ok(length @ 1..) = connection.read(&mut heard) {
                    let request = String::from_utf8_lossy(&heard[..length]).into_owned();
                    let sequence = request.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or("1");
                    let status = if request.starts_with("OPTIONS") { "200 OK" } else { status };
                    let answer = format!("RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n\r\n");
                    if connection.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    uri
}

/// An address that swallows packets: its queue of connections is full and nobody takes any.
struct BlackHole {
    address: SocketAddr,
    _sockets: Vec<socket2::Socket>,
}

impl BlackHole {
    fn new() -> Self {
        use socket2::{Domain, Socket, Type};
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut sockets = vec![listener];
        loop {
            let waiting = socket();
            let connected = waiting.connect_timeout(&address.into(), Duration::from_millis(200)).is_ok();
            sockets.push(waiting);
            if !connected {
                return Self { address, _sockets: sockets };
            }
            assert!(sockets.len() < 64, "the queue does not fill");
        }
    }
}

#[test]
fn every_source_that_cannot_be_had_says_why_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| fs::write(at(name), bytes).unwrap();
    let video = "videotestsrc num-buffers=48 ! video/x-raw,width=320,height=240,framerate=24/1 ! x264enc ! h264parse";
    make_clip(&format!("{video} ! mp4mux"), &at("whole.mp4"));
    let whole = fs::read(at("whole.mp4")).unwrap();
    write("cut.mp4", &whole[..whole.len() / 2]);
    make_clip(&format!("{video} ! mp4mux faststart=true"), &at("faststart.mp4"));
    let whole = fs::read(at("faststart.mp4")).unwrap();
    write("cut-later.mp4", &whole[..whole.len() / 2]);
    write("text.mp4", &b"this is not a video at all. ".repeat(100));
    write("empty.mp4", b"");
    make_clip("audiotestsrc num-buffers=20 ! vorbisenc ! matroskamux", &at("sound.mkv"));
    make_clip(&format!("{video} ! identity name=cut ! mp4mux"), &at("no-key-frame.mp4"));
    let hole = BlackHole::new();
    let login = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = login.local_addr().unwrap();
    drop(login);

    let file = |name: &str| format!("file://{}", at(name).display());
    let table = [
        ("cut", file("cut.mp4"), "CorruptStream", "cut"),
        ("text", file("text.mp4"), "CorruptStream", "text.mp4"),
        ("empty", file("empty.mp4"), "CorruptStream", "empty"),
        ("no-key-frame", file("no-key-frame.mp4"), "CorruptStream", "no key frame"),
        ("sound", file("sound.mkv"), "UnsupportedCodec", "no video"),
        ("missing", file("missing.mp4"), "NotFound", "missing.mp4"),
        ("unknown-host", "rtsp://no-such-host.invalid/camera".into(), "HostUnreachable", "resolved"),
        ("closed", format!("rtsp://{closed}/camera"), "HostUnreachable", "refuses the connection"),
        ("black-hole", format!("rtsp://{}/camera", hole.address), "Timeout", "in time"),
        ("wrong-login", camera_that_answers("401 Unauthorized"), "AuthenticationFailed", "user name"),
        ("rtsp-404", camera_that_answers("404 Not Found"), "NotFound", "404"),
        ("rtsp-454", camera_that_answers("454 Session Not Found"), "ConnectionLost", "454"),
        ("rtsp-503", camera_that_answers("503 Service Unavailable"), "HostUnreachable", "503"),
    ];
    let (pod, neighbour) = pod_with_neighbour(folder.path());
    for (name, uri, ..) in &table {
        let mut source = json!({"id": name, "uri": uri});
        if *name == "wrong-login" {
            source["credentials"] = json!({"username": "operator", "password": "hunter2"});
        }
        let (status, body) = pod.send("POST", "/api/v1/sources", &source);
        assert_eq!(status, 201, "{name}: {body}");
    }
    let began = Instant::now();
    for (name, _, reason, word) in &table {
        let error = wait(name, &pod, || {
            let error = pod.get(&format!("/api/v1/sources/{name}"))["status"]["lastError"].clone();
            error.is_object().then_some(error)
        });
        eprintln!("{name:14} {:>6.1} s  {}: {}", began.elapsed().as_secs_f64(), error["reason"], error["message"]);
        assert_eq!(error["reason"], *reason, "{name}: {error}");
        assert!(error["message"].as_str().unwrap().contains(word), "{name}: {error}");
    }
    // No picture of this clip is marked as a key frame; those that can be decoded all the same are watched.
    let unmarked =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/videos/cvat_video_without_valid_keyframes.mp4");
    if let Ok(path) = unmarked.canonicalize() {
        let source = json!({"id": "unmarked", "uri": format!("file://{}", path.display())});
        assert_eq!(pod.send("POST", "/api/v1/sources", &source).0, 201);
        wait("the clip without marked key frames is watched", &pod, || (frames(&pod, "unmarked") > 3).then_some(()));
    } else {
        eprintln!("skipped: there is no {}", unmarked.display());
    }
    // What is whole up to the cut is watched, and its end is no crash.
    let later = json!({"id": "cut-later", "uri": file("cut-later.mp4")});
    assert_eq!(pod.send("POST", "/api/v1/sources", &later).0, 201);
    wait("the first half is watched", &pod, || (frames(&pod, "cut-later") > 3).then_some(()));
    wait("it is said that there was more", &pod, || {
        let status = pod.get("/api/v1/sources/cut-later")["status"].clone();
        let told = status["lastError"]["message"].as_str().is_some_and(|message| message.contains("cut off"));
        (told && status["state"] == "Ended").then_some(())
    });
    untouched(&pod, &neighbour);
    let told = [pod.get("/api/v1/sources").to_string(), pod.text("/metrics"), pod.end()].concat();
    assert!(!told.contains("hunter2") && !told.contains("panicked"), "{told}");
}

#[test]
fn every_model_that_cannot_be_used_says_why_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let starter = fs::read(root.join("../models/starter/starter.onnx")).unwrap();
    fs::write(at("cut.onnx"), &starter[..starter.len() / 2]).unwrap();
    fs::write(at("text.onnx"), "no model").unwrap();
    fs::write(at("empty.onnx"), "").unwrap();
    let fixture = |name: &str| root.join("tests/fixtures/models").join(name);
    let table: [(&str, PathBuf, &str); 6] = [
        ("cut", at("cut.onnx"), "cut.onnx"),
        ("text", at("text.onnx"), "text.onnx"),
        ("empty", at("empty.onnx"), "empty"),
        ("missing", at("missing.onnx"), "missing.onnx"),
        ("unknown-layout", fixture("classifier_of_pictures.onnx"), "layout"),
        ("other-domain", fixture("listener_to_sound.onnx"), "picture"),
    ];
    let (pod, neighbour) = pod_with_neighbour(folder.path());
    for (name, path, _) in &table {
        let model = json!({"id": name, "source": {"file": path}});
        let (status, body) = pod.send("POST", "/api/v1/models", &model);
        assert_eq!(status, 201, "{name}: {body}");
        let source = json!({"id": name, "uri": NEIGHBOUR, "model": name});
        assert_eq!(pod.send("POST", "/api/v1/sources", &source).0, 201, "{name}");
    }
    for (name, _, word) in &table {
        let source = wait(name, &pod, || {
            let source = pod.get(&format!("/api/v1/sources/{name}"));
            source["status"]["lastError"].is_object().then_some(source)
        });
        let failure = &source["model"]["failure"];
        eprintln!("{name:14} {failure}");
        assert_eq!(source["model"]["state"], "Failed", "{name}: {source:#}");
        assert_eq!(source["status"]["lastError"]["reason"], "ModelUnavailable", "{name}: {source:#}");
        assert!(failure.as_str().unwrap().contains(word), "{name}: {failure}");
    }
    untouched(&pod, &neighbour);
    assert!(!pod.end().contains("panicked"));
}

/// Some seconds of a street; they begin when the model is open.
const STREET: &str = "sim://street?seed=3&fps=10&width=320&height=240&frames=40";

/// `analytics-pod run` on a street for a while, in `folder`.
fn run(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_analytics-pod"))
        .args(["run", STREET, "--listen", "127.0.0.1:0"])
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env_remove("VISION_STATE_FOLDER")
        .output()
        .unwrap()
}

#[test]
fn what_could_not_be_written_to_the_end_fails_the_run_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--output=file:/dev/full"][..], &["--output=none", "--stats-file=/dev/full"][..]] {
        let output = run(folder.path(), arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains("/dev/full") && last.contains("space"), "{last}");
    }
}

#[test]
fn a_full_disk_under_an_output_is_told_and_costs_nothing_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("state/lines.jsonl");
    let output = format!("--output=file:{}", lines.display());
    // `head` fills the disk and fails.
    let fill = "(head -c 2m /dev/zero > ballast 2>/dev/null || true)";
    let Some(pod) = pod_on_small_disk(folder.path(), "1m", fill, &[&output]) else { return };
    let name = pod.get("/api/v1/sources")["sources"][0]["id"].as_str().unwrap().to_owned();
    let reason = wait("the full disk is told", &pod, || {
        let health = pod.get("/health");
        (health["status"] == "degraded").then(|| health["reasons"].to_string())
    });
    assert!(reason.contains("lines.jsonl") && reason.contains("No space left"), "{reason}");
    assert!(
        pod.text("/metrics").lines().any(|line| line.starts_with("vision_pod_output_failing{") && line.ends_with(" 1"))
    );
    untouched(&pod, &name);

    let within =
        |path: &Path| Path::new("/proc").join(pod.id().to_string()).join("root").join(path.strip_prefix("/").unwrap());
    fs::remove_file(within(&folder.path().join("state/ballast"))).unwrap();
    wait("there is room", &pod, || (pod.get("/health")["status"] == "healthy").then_some(()));
    let seen = frames(&pod, &name);
    let written = wait("what waited is written", &pod, || {
        let text = fs::read_to_string(within(&lines)).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let frames: Vec<u64> =
            whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["frame"].as_u64().unwrap()).collect();
        (frames.len() as u64 >= seen).then_some(frames)
    });
    assert!(written.is_sorted_by(|one, next| one < next), "{written:?}");
    let dropped = pod.get(&format!("/api/v1/sources/{name}"))["status"]["drops"]["OutputOverflow"].clone();
    assert_eq!(dropped, 0);
    let log = pod.end();
    assert_eq!(log.matches("cannot be written").count(), 1, "{log}");
    assert_eq!(log.matches("can be written again").count(), 1, "{log}");
}

#[test]
fn a_full_disk_under_the_log_costs_the_log_alone() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--log-file=/dev/full"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let complaints = said.lines().filter(|line| line.contains("/dev/full")).count();
    assert!((1..=3).contains(&complaints), "it is said, and not with every line: {said}");
    assert!(String::from_utf8_lossy(&output.stdout).lines().count() > 5, "{said}");
}

#[test]
fn a_state_folder_that_cannot_be_one_is_said_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("taken"), "").unwrap();
    for (path, word) in [("taken", "taken"), ("taken/state", "taken/state"), ("/proc/state", "/proc/state")] {
        let output = run(folder.path(), &["--state-folder", path]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.contains("--state-folder") && last.contains(word), "{last}");
    }
}

/// A pod whose state folder is a file system of its own, of `size`, in a mount namespace of its own; `before` is done in
/// it before the pod starts. `None` where this user may not mount anything.
fn pod_on_small_disk(folder: &Path, size: &str, before: &str, arguments: &[&str]) -> Option<PodProcess> {
    let state = folder.join("state");
    fs::create_dir(&state).unwrap();
    let mount = format!("mount -t tmpfs -o size={size} tmpfs {}", state.display());
    let unshare = ["unshare", "--map-root-user", "--mount"];
    let tried = Command::new(unshare[0]).args(&unshare[1..]).args(["sh", "-c", &mount]).output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: this user cannot mount a file system of his own: {tried:?}");
        return None;
    }
    let script = format!("{mount} && cd {} && {before} && cd / && exec \"$0\" \"$@\"", state.display());
    let wrapper = [&unshare[..], &["sh", "-c", &script]].concat();
    Some(PodProcess::start_within(&wrapper, &state, &[&[NEIGHBOUR][..], arguments].concat()))
}

#[test]
fn a_full_disk_under_the_state_refuses_the_change_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(pod) = pod_on_small_disk(folder.path(), "64k", "true", &[]) else { return };
    let source = |number: u32| {
        let metadata: String = "x".repeat(200);
        json!({"id": format!("source-{number}"), "uri": format!("rtsp://127.0.0.1:9/{metadata}"), "enabled": false})
    };
    let (refused, (status, body)) = (0..64)
        .map(|number| (number, pod.send("POST", "/api/v1/sources", &source(number))))
        .find(|(_, (status, _))| *status != 201)
        .expect("64 KiB hold no 64 sources");
    assert_eq!(status, 507, "{body}");
    assert!(body.contains("no space left") && body.contains("make room"), "{body}");
    assert!(refused > 3, "the first ones have room: {body}");
    let path = |number: u32| format!("/api/v1/sources/source-{number}");
    assert_eq!(pod.send("GET", &path(refused), &Value::Null).0, 404);
    assert_eq!(pod.send("GET", &path(refused - 1), &Value::Null).0, 200);
    // Room is made by deleting, and then there is some.
    for number in 0..3 {
        assert_eq!(pod.send("DELETE", &path(number), &Value::Null).0, 204);
    }
    assert_eq!(pod.send("POST", "/api/v1/sources", &source(refused)).0, 201);
    let neighbour = pod.get("/api/v1/sources")["sources"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|source| Some(source["id"].as_str()?.to_owned()).filter(|id| !id.starts_with("source-")))
        .unwrap();
    untouched(&pod, &neighbour);
    assert!(!pod.end().contains("panicked"));
}

#[test]
fn a_state_folder_that_becomes_read_only_refuses_changes_and_keeps_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let before = "touch lock && mkdir sources models && mount -o bind,ro . sources && mount -o bind,ro . models";
    let Some(pod) = pod_on_small_disk(folder.path(), "64k", before, &[]) else { return };
    let (status, body) = pod.send("POST", "/api/v1/sources", &json!({"id": "gate", "uri": "test://smpte"}));
    assert_eq!(status, 500, "{body}");
    assert!(body.contains("make the state folder writable"), "{body}");
    assert_eq!(pod.send("GET", "/api/v1/sources/gate", &Value::Null).0, 404);
    let neighbour = pod.get("/api/v1/sources")["sources"][0]["id"].as_str().unwrap().to_owned();
    wait("the neighbour streams", &pod, || (frames(&pod, &neighbour) > 3).then_some(()));
    untouched(&pod, &neighbour);
}
