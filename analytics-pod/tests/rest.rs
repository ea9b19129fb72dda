//! The real program under requests: what it acknowledged survives its death, and a change of one source touches no
//! other.

#![allow(clippy::unwrap_used, missing_docs)]

mod pod_process;

use std::{
    collections::BTreeMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use pod_process::PodProcess;
use serde_json::{Value, json};

/// Deaths in the usual form of the test; `VISION_TEST_KILLS` says another number (200 in the long form).
const KILLS: u32 = 15;

/// What one caller knows: acknowledged rates, and the one change whose answer it never got.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<String, u64>,
    /// Name, and the rate that was asked for; `None`: a deletion.
    unanswered: Option<(String, Option<u64>)>,
}

impl Ledger {
    /// Changes sources one after another until the pod is gone.
    fn write_until_death(&mut self, pod: &PodProcess, mut next: impl FnMut() -> u64) {
        loop {
            let (name, fps) = (format!("camera-{}", next() % 6), next() % 240 + 1);
            let exists = self.acknowledged.contains_key(&name);
            let wanted = if exists && next().is_multiple_of(3) { None } else { Some(fps) };
            self.unanswered = Some((name.clone(), wanted));
            let path = format!("/api/v1/sources/{name}");
            let body = json!({"detection": {"fps": fps}});
            let answered = match (exists, wanted) {
                (true, None) => pod.try_request("DELETE", &path, None),
                (true, Some(_)) => pod.try_request("PATCH", &path, Some(&body)),
                (false, _) => {
                    let source =
                        json!({"id": name, "uri": "rtsp://127.0.0.1:9/", "enabled": false, "detection": {"fps": fps}});
                    pod.try_request("POST", "/api/v1/sources", Some(&source))
                }
            };
            let Some((status, body)) = answered else { return };
            assert!((200..300).contains(&status), "{name}: {status} {body}");
            match wanted {
                Some(fps) => self.acknowledged.insert(name, fps),
                None => self.acknowledged.remove(&name),
            };
            self.unanswered = None;
        }
    }

    /// Holds what a new pod found against what was acknowledged; the change without an answer may have been made or
    /// not. Takes over what was found.
    fn compare(&mut self, found: BTreeMap<String, u64>) {
        let mut allowed = vec![self.acknowledged.clone()];
        if let Some((name, wanted)) = self.unanswered.take() {
            let mut made = self.acknowledged.clone();
            match wanted {
                Some(fps) => made.insert(name, fps),
                None => made.remove(&name),
            };
            allowed.push(made);
        }
        assert!(allowed.contains(&found), "found {found:?}, expected one of {allowed:?}");
        self.acknowledged = found;
    }
}

fn rates(pod: &PodProcess) -> BTreeMap<String, u64> {
    let sources = pod.get("/api/v1/sources");
    let sources = sources["sources"].as_array().unwrap().clone();
    let rate = |source: Value| {
        (source["id"].as_str().unwrap().to_owned(), source["spec"]["detection"]["fps"].as_u64().unwrap())
    };
    sources.into_iter().map(rate).collect()
}

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let kills = std::env::var("VISION_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        // xorshift64*: a different moment and change each time, the same ones in every run.
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    };
    let mut ledger = Ledger::default();
    let mut changes = 0_u32;
    for _ in 0..kills {
        let pod = PodProcess::start(folder.path(), &[]);
        assert_eq!(pod.get("/api/v1/status")["unreadableState"], json!([]));
        ledger.compare(rates(&pod));
        let killer = pod.killer();
        let moment = Duration::from_micros(next() % 60_000);
        let death = thread::spawn(move || {
            // The moment of the blow is what is varied, so there is no condition to wait for.
            thread::sleep(moment);
            killer.kill();
        });
        let counted = || {
            changes += 1;
            next()
        };
        ledger.write_until_death(&pod, counted);
        death.join().unwrap();
    }
    let pod = PodProcess::start(folder.path(), &[]);
    ledger.compare(rates(&pod));
    assert!(changes > kills, "the pod was killed before it did anything");
}

#[test]
fn the_second_pod_on_a_folder_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let _first = PodProcess::start(folder.path(), &[]);
    let second = PodProcess::run_to_end(folder.path(), &[]);
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains("in use by another pod") && told.contains("--state-folder"), "{told}");
}

/// Waits until the source's answer is as asked for; panics with the last one after a while.
fn wait_for(pod: &PodProcess, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let source = pod.get(&format!("/api/v1/sources/{name}"));
        if wanted(&source) {
            return source;
        }
        assert!(Instant::now() < deadline, "{source:#}\n{}", pod.log());
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_streaming(source: &Value) -> bool {
    source["status"]["state"] == "Streaming" && source["status"]["frames"]["processed"].as_u64() > Some(3)
}

#[test]
fn a_change_of_one_source_touches_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let pod = PodProcess::start(folder.path(), &["sim://street?seed=1&fps=10&width=320&height=240"]);
    let declared = pod.get("/api/v1/sources")["sources"][0]["id"].as_str().unwrap().to_owned();
    wait_for(&pod, &declared, is_streaming);
    let made = pod.send(
        "POST",
        "/api/v1/sources",
        &json!({
            "id": "made", "uri": "sim://street?seed=2&fps=10&width=320&height=240",
        }),
    );
    assert_eq!(made.0, 201, "{}", made.1);
    wait_for(&pod, "made", is_streaming);

    // Another model, other thresholds: the connection stays.
    let model = json!({"id": "second", "source": {"builtin": "starter"}, "thresholds": {"confidence": 0.9}});
    assert_eq!(pod.send("POST", "/api/v1/models", &model).0, 201);
    assert_eq!(pod.send("PATCH", "/api/v1/sources/made", &json!({"model": "second", "detection": {"fps": 5}})).0, 200);
    let switched = wait_for(&pod, "made", |source| source["model"]["inUse"]["name"] == "second");
    assert_eq!((&switched["status"]["retries"], &switched["status"]["errors"]), (&json!(0), &json!({})));
    assert_eq!(pod.send("DELETE", "/api/v1/models/second", &Value::Null).0, 409);

    // A model that cannot be opened: the one before stays, and frames go on.
    let broken = json!({"id": "broken", "source": {"file": "/nowhere/model.onnx"}});
    assert_eq!(pod.send("POST", "/api/v1/models", &broken).0, 201);
    assert_eq!(pod.send("PATCH", "/api/v1/sources/made", &json!({"model": "broken"})).0, 200);
    let failed = wait_for(&pod, "made", |source| source["model"]["state"] == "Failed");
    let before = failed["status"]["frames"]["processed"].as_u64();
    let kept = wait_for(&pod, "made", |source| source["status"]["frames"]["processed"].as_u64() > before);
    assert_eq!((&kept["model"]["inUse"]["name"], &kept["status"]["retries"]), (&json!("second"), &json!(0)));
    assert!(kept["model"]["failure"].as_str().unwrap().contains("/nowhere/model.onnx"), "{kept}");

    // Another place to read from is a new connection, of this source alone.
    let other = json!({"uri": "sim://street?seed=3&fps=10&width=320&height=240", "model": "starter"});
    assert_eq!(pod.send("PATCH", "/api/v1/sources/made", &other).0, 200);
    wait_for(&pod, "made", is_streaming);
    assert_eq!(pod.send("DELETE", "/api/v1/sources/made", &Value::Null).0, 204);
    assert_eq!(pod.try_request("GET", "/api/v1/sources/made", None).unwrap().0, 404);

    let untouched = pod.get(&format!("/api/v1/sources/{declared}"));
    assert_eq!((&untouched["status"]["retries"], &untouched["status"]["errors"]), (&json!(0), &json!({})));
    assert_eq!(untouched["status"]["state"], "Streaming");
}

#[test]
fn a_frame_is_there_for_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let pod = PodProcess::start(folder.path(), &["sim://street?seed=1&fps=10&width=320&height=240"]);
    let name = pod.get("/api/v1/sources")["sources"][0]["id"].as_str().unwrap().to_owned();
    wait_for(&pod, &name, is_streaming);
    let path = format!("/api/v1/sources/{name}/frame.jpg");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (status, jpeg) = pod.bytes(&path);
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(&jpeg));
                let picture = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).unwrap();
                assert_eq!((picture.width(), picture.height()), (320, 240));
            });
        }
    });
    let idle = json!({"id": "idle", "uri": "test://smpte", "enabled": false});
    assert_eq!(pod.send("POST", "/api/v1/sources", &idle).0, 201);
    let none = pod.bytes("/api/v1/sources/idle/frame.jpg");
    assert_eq!(none.0, 503);
    assert!(String::from_utf8_lossy(&none.1).contains("not enabled"));
    assert_eq!(pod.bytes("/api/v1/sources/nobody/frame.jpg").0, 404);
}

#[test]
fn what_was_made_runs_again_after_a_restart_and_secrets_stay_secret() {
    let folder = tempfile::tempdir().unwrap();
    let login = json!({"username": "operator", "password": "hunter2"});
    let body = json!({"id": "camera", "uri": "rtsp://127.0.0.1:9/live?token=hunter2", "credentials": login});
    let first = PodProcess::start(folder.path(), &[]);
    assert_eq!(first.send("POST", "/api/v1/sources", &body).0, 201);
    assert_eq!(first.send("POST", "/api/v1/sources", &json!({"id": "pattern", "uri": "test://smpte"})).0, 201);
    let failing = wait_for(&first, "camera", |source| source["status"]["lastError"]["reason"] == "HostUnreachable");
    assert!(failing["status"]["consecutiveFailures"].as_u64() > Some(0), "{failing}");
    wait_for(&first, "pattern", is_streaming);
    let log = first.end();
    let second = PodProcess::start(folder.path(), &[]);
    wait_for(&second, "pattern", is_streaming);
    wait_for(&second, "camera", |source| source["status"]["lastError"]["reason"] == "HostUnreachable");
    let told =
        [log, second.get("/api/v1/sources").to_string(), second.text("/metrics"), second.text("/health")].concat();
    let told = told + &second.end();
    assert!(told.contains("camera") && !told.contains("hunter2"), "{told}");
    assert!(Path::new(folder.path()).join("sources/default/camera.json").exists());
}
