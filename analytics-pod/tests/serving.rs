//! Pods that serve in a cluster: real processes, a real API server, simulated cameras; the tests do what the operator
//! would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cluster;

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use analytics_pod::observation::Observation;
use camera_simulator::{CameraConfig, Config, Login, LoginMethod, SceneConfig, Silent, Simulator};
use cluster::{
    api_server::ApiServer,
    certificates::{Authority, ask},
    pod::ServingPod,
};
use crds::report::{ModelPhase, Phase, SourceState};
use serde_json::json;
use tokio::sync::Mutex;

/// Far more than anything here takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_mins(1);

/// Frames per second of every camera here.
const FPS: u32 = 5;

/// Between two frames of a camera.
const INTERVAL: f64 = 1.0 / FPS as f64;

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One API server for the tests that run side by side.
async fn shared_server() -> Option<Arc<ApiServer>> {
    static SHARED: Mutex<std::sync::Weak<ApiServer>> = Mutex::const_new(std::sync::Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(ApiServer::start().await?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

fn cameras(names: &[&str], login: Option<&Login>) -> Simulator {
    let camera = |(seed, name): (usize, &&str)| {
        let scene = SceneConfig {
            seed: seed as u64 + 1,
            width: 320,
            height: 240,
            fps: FPS,
            frames: Some(50),
            gop: Some(5),
            ..SceneConfig::default()
        };
        CameraConfig { login: login.cloned(), ..CameraConfig::of_scene(*name, scene) }
    };
    let config = Config::on_loopback(names.iter().enumerate().map(camera).collect());
    tokio::task::block_in_place(|| Simulator::start(&config, &Silent)).unwrap()
}

/// What a consumer keeps of what several pods publish: in the order of publication nothing of a lower epoch or session
/// than was seen.
fn kept(pods: &[&ServingPod], source: &str) -> Vec<Observation> {
    let mut all: Vec<_> =
        pods.iter().flat_map(|pod| pod.observations()).filter(|seen| &*seen.source == source).collect();
    all.sort_by_key(|seen| seen.publish_time);
    let mut highest = (0, 0);
    all.retain(|seen| {
        let is_current = (seen.epoch, seen.session) >= highest;
        highest = highest.max((seen.epoch, seen.session));
        is_current
    });
    all
}

/// The time from each frame to the next, in intervals of the camera.
fn gaps(frames: &[Observation]) -> Vec<f64> {
    let gap = |pair: &[Observation]| pair[1].capture_time.duration_since(pair[0].capture_time).as_secs_f64() / INTERVAL;
    frames.windows(2).map(gap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bound_is_detected_under_its_epoch_and_reported() {
    let Some(server) = shared_server().await else { return };
    let cluster = server.namespace("bound").await;
    let simulator = cameras(&["gate"], None);
    let pod = ServingPod::start(&server, &cluster, "people-bound");
    eventually("the pod has started", async || pod.http("GET", "/startupz").0 == 200).await;
    let report = pod.report();
    assert_eq!((report.pod.as_str(), report.terminating, report.sources.len()), ("people-bound", false, 0));
    assert_eq!((report.model.phase, report.model.generation), (ModelPhase::Ready, 1));
    assert!(report.model.digest.is_some_and(|digest| digest.starts_with("sha256:")));
    let capacity = report.capacity.unwrap();
    assert!(capacity.milli_inferences_per_second > 0 && capacity.decode_micros_per_second > 0, "{capacity:?}");

    let spec = json!({ "uri": simulator.uri("gate").unwrap() });
    cluster.source("gate", &spec).await;
    cluster.source("passwords", &json!({ "uri": "file:///etc/passwd" })).await;
    cluster.assign("gate", &pod.name, 1_700_000_000_001).await;
    cluster.assign("passwords", &pod.name, 1_700_000_000_002).await;
    pod.more("gate", 5).await;
    assert!(pod.observations().iter().all(|seen| seen.epoch == 1_700_000_000_001 && &*seen.namespace == "bound"));
    eventually("demand is measured", async || pod.source("gate").unwrap().demand.is_some()).await;
    let gate = pod.source("gate").unwrap();
    assert_eq!((gate.phase, gate.state, gate.epoch), (Phase::Active, SourceState::Streaming, 1_700_000_000_001));
    assert_eq!((gate.codec.as_deref(), gate.width, gate.height), (Some("H264"), Some(320), Some(240)));
    assert!(gate.last_frame_ms.is_some() && gate.reason.is_none(), "{gate:?}");
    let refused = pod.source("passwords").unwrap();
    assert_eq!((refused.state, refused.reason.as_deref()), (SourceState::Failed, Some("PermissionDenied")));

    // Requests look, and change nothing.
    let (status, sources) = pod.http("GET", "/api/v1/sources");
    assert!(status == 200 && sources.contains("gate") && sources.contains("kubernetes"), "{status} {sources}");
    let (status, problem) = pod.http("POST", "/api/v1/sources");
    assert!(status == 405 && problem.contains("kubectl"), "{status} {problem}");
    assert!(
        pod.http("GET", "/metrics").1.contains("vision_pod_frames_received_total{namespace=\"bound\",source=\"gate\"}")
    );

    // An edit is taken in place; another place to read from is a new session of the same binding.
    let session = pod.observations().last().unwrap().session;
    let slower = json!({ "uri": simulator.uri("gate").unwrap(), "detection": { "fps": 1 } });
    cluster.source("gate", &slower).await;
    eventually("fewer frames are looked at", async || {
        pod.source("gate").unwrap().demand.is_some_and(|demand| demand.milli_inferences_per_second < 1_500)
    })
    .await;
    assert_eq!(pod.observations().last().unwrap().session, session);
    cluster.source("gate", &json!({ "uri": format!("{}?again", simulator.uri("gate").unwrap()) })).await;
    eventually("another session begins", async || pod.observations().last().unwrap().session > session).await;
    assert_eq!(pod.observations().last().unwrap().epoch, 1_700_000_000_001);

    cluster.release("gate").await;
    eventually("it is released", async || pod.source("gate").is_none()).await;
    assert!(!pod.http("GET", "/metrics").1.contains("source=\"gate\""), "series stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_handed_over_warm_and_no_frame_is_missed() {
    let Some(server) = shared_server().await else { return };
    let cluster = server.namespace("handover").await;
    let simulator = cameras(&["gate"], None);
    let old = ServingPod::start(&server, &cluster, "people-old");
    cluster.source("gate", &json!({ "uri": simulator.uri("gate").unwrap() })).await;
    cluster.assign("gate", &old.name, 10).await;
    old.more("gate", 10).await;
    let new = ServingPod::start(&server, &cluster, "people-new");
    eventually("the new pod has started", async || new.http("GET", "/startupz").0 == 200).await;
    cluster
        .status(
            "gate",
            json!({
                "assignment": { "pod": old.name, "epoch": 10 }, "handover": { "pod": new.name, "epoch": 11 },
            }),
        )
        .await;
    eventually("the new pod is warm", async || {
        new.source("gate").is_some_and(|gate| (gate.phase, gate.epoch) == (Phase::Warm, 11))
    })
    .await;
    old.more("gate", 3).await;
    assert_eq!(new.published("gate"), 0);
    cluster.assign("gate", &new.name, 11).await;
    eventually("the new pod is active", async || new.source("gate").is_some_and(|gate| gate.phase == Phase::Active))
        .await;
    new.more("gate", 15).await;
    eventually("the old pod has released it", async || old.source("gate").is_none()).await;

    let frames = kept(&[&old, &new], "gate");
    let taken = frames.iter().position(|seen| seen.epoch == 11).unwrap();
    let session = frames[taken].session;
    assert!(frames[taken..].iter().all(|seen| seen.session == session), "the stream was opened anew");
    assert!(frames[taken].frame > 0, "what was inferred while it warmed up has no numbers");
    let around = gaps(&frames[taken.saturating_sub(5)..taken + 10]);
    assert!(around.iter().all(|gap| (-2.0..=2.1).contains(gap)), "{around:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_dies_and_a_pod_that_crashes_cost_no_stream() {
    // Its own, since it dies.
    let Some(server) = ApiServer::start().await else { return };
    let cluster = server.namespace("outage").await;
    let simulator = cameras(&["gate", "yard"], None);
    let pod = ServingPod::start(&server, &cluster, "people-outage");
    for (name, epoch) in [("gate", 10), ("yard", 11)] {
        cluster.source(name, &json!({ "uri": simulator.uri(name).unwrap() })).await;
        if name == "gate" {
            cluster.assign(name, &pod.name, epoch).await;
        }
    }
    pod.more("gate", 5).await;
    server.kill();
    let session = pod.observations()[0].session;
    // Longer than the pod waits between two tries, several times.
    pod.more("gate", 60).await;
    assert_eq!(pod.source("gate").unwrap().state, SourceState::Streaming);
    server.resume().await;
    cluster.assign("yard", &pod.name, 11).await;
    pod.more("yard", 5).await;
    pod.more("gate", 5).await;
    let frames = kept(&[&pod], "gate");
    assert!(frames.iter().all(|seen| seen.session == session), "the stream was opened anew: {}", pod.log());
    let gaps = gaps(&frames);
    assert!(gaps.iter().all(|gap| *gap <= 2.1), "{gaps:?}");

    // Nobody tells the pod anything: what it has is written in the API.
    let capacity = pod.report().capacity;
    let pod = pod.crash_and_restart(&server, &cluster);
    pod.more("gate", 5).await;
    pod.more("yard", 5).await;
    assert!(pod.observations().iter().all(|seen| seen.session > session));
    assert_eq!(pod.source("gate").unwrap().epoch, 10);
    assert_eq!(pod.report().capacity, capacity, "measured again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_read_once_the_pod_may_and_no_other_secret_is() {
    let Some(server) = shared_server().await else { return };
    let cluster = server.namespace("logins").await;
    let login = Login { username: "viewer".to_owned(), password: "hunter2".to_owned(), method: LoginMethod::Digest };
    let simulator = cameras(&["gate"], Some(&login));
    let pod = ServingPod::start(&server, &cluster, "people-logins");
    cluster.secret("gate-login", "kubernetes.io/basic-auth", &login.username, &login.password).await;
    cluster.secret("opaque", "Opaque", &login.username, &login.password).await;
    let spec = |secret: &str| {
        json!({
            "uri": simulator.uri("gate").unwrap(), "credentialsSecretRef": { "name": secret },
        })
    };
    eventually("the pod has started", async || pod.http("GET", "/startupz").0 == 200).await;
    cluster.source("gate", &spec("gate-login")).await;
    cluster.assign("gate", &pod.name, 10).await;
    eventually("the pod holds it", async || pod.source("gate").is_some()).await;
    cluster.allow(&["gate-login", "opaque"]).await;
    pod.more("gate", 5).await;
    let metrics = pod.http("GET", "/metrics").1;
    assert!(metrics.contains("vision_pod_source_attempts_total{namespace=\"logins\",source=\"gate\"} 1"), "{metrics}");

    cluster.source("gate", &spec("opaque")).await;
    eventually("the reason is told", async || {
        pod.source("gate").is_some_and(|gate| gate.message.is_some_and(|message| message.contains("type Opaque")))
    })
    .await;
    assert_eq!(pod.source("gate").unwrap().reason.as_deref(), Some("AuthenticationFailed"));
    cluster.source("gate", &spec("absent")).await;
    eventually("the reason is told", async || {
        pod.source("gate").is_some_and(|gate| gate.reason.as_deref() == Some("PermissionDenied"))
    })
    .await;
    cluster.source("gate", &spec("gate-login")).await;
    pod.more("gate", 5).await;
    let told = [pod.log(), pod.http("GET", "/metrics").1, pod.http("GET", "/api/v1/sources").1];
    assert!(told.iter().all(|text| !text.contains("hunter2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_told_to_end_goes_on_until_its_sources_have_moved() {
    let Some(server) = shared_server().await else { return };
    let cluster = server.namespace("ending").await;
    let simulator = cameras(&["gate", "yard"], None);
    let pod = ServingPod::start(&server, &cluster, "people-ending");
    for name in ["gate", "yard"] {
        cluster.source(name, &json!({ "uri": simulator.uri(name).unwrap() })).await;
    }
    cluster.assign("gate", &pod.name, 10).await;
    pod.more("gate", 3).await;
    pod.terminate();
    eventually("it is terminating", async || pod.report().terminating).await;
    cluster.assign("yard", &pod.name, 11).await;
    // Longer than a new binding takes.
    pod.more("gate", 20).await;
    assert_eq!(pod.published("yard"), 0);
    assert!(pod.source("yard").is_none());
    assert_eq!(pod.http("GET", "/readyz").0, 200);
    assert!(pod.ended().is_none());
    cluster.assign("gate", "people-other", 12).await;
    eventually("it has ended", async || pod.ended().is_some()).await;
    assert!(pod.ended().unwrap().success(), "{}", pod.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operator_is_answered() {
    let Some(server) = shared_server().await else { return };
    let cluster = server.namespace("strangers").await;
    let pod = ServingPod::start(&server, &cluster, "people-strangers");
    let servers = pod.authority.pem();
    let other = Authority::new("other");
    assert_eq!(pod.report().pod, "people-strangers");
    for (who, pair) in [
        ("nobody", None),
        ("a client of another authority", Some(other.client())),
        ("another pod", Some(pod.authority.server(&["people-analytics-tls.yard.vision-operator.dev"]))),
    ] {
        let refused = ask(pod.report_address, &servers, pair.as_ref());
        assert!(refused.is_err(), "{who} was answered");
    }
    // The authority is rotated: both count, and then the new one only.
    pod.authority.write_secret(pod.folder.path(), &(servers.clone() + &other.pem()));
    let client = other.client();
    eventually("the new authority counts", async || ask(pod.report_address, &servers, Some(&client)).is_ok()).await;
    assert_eq!(pod.report().pod, "people-strangers");
    fs::write(pod.folder.path().join("ca.crt"), other.pem()).unwrap();
    let old = pod.authority.client();
    eventually("the old one counts no more", async || ask(pod.report_address, &servers, Some(&old)).is_err()).await;
    // What cannot be used changes nothing.
    fs::write(pod.folder.path().join("tls.crt"), "no certificate").unwrap();
    eventually("it is told", async || pod.log().contains("the certificates stay as they were")).await;
    assert!(ask(pod.report_address, &servers, Some(&client)).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_model_is_taken_between_frames_and_one_that_fails_is_not() {
    let Some(server) = shared_server().await else { return };
    let cluster = server.namespace("models").await;
    let simulator = cameras(&["gate"], None);
    let pod = ServingPod::start(&server, &cluster, "people-models");
    cluster.source("gate", &json!({ "uri": simulator.uri("gate").unwrap() })).await;
    cluster.assign("gate", &pod.name, 10).await;
    pod.more("gate", 3).await;
    let session = pod.observations()[0].session;
    let changed = json!({ "source": { "builtin": "starter" }, "thresholds": { "confidence": 0.9 } });
    let generation = cluster.model(&changed).await;
    eventually("the new generation is in use", async || {
        let model = pod.report().model;
        (model.generation, model.phase) == (generation, ModelPhase::Ready)
    })
    .await;
    let broken = cluster.model(&json!({ "source": { "builtin": "nothing" } })).await;
    eventually("the failure is told", async || pod.report().model.phase == ModelPhase::Failed).await;
    let model = pod.report().model;
    assert_eq!((model.generation, model.reason.as_deref()), (generation, Some("Unknown")));
    assert!(
        broken > generation && model.digest.is_some() && model.message.is_some_and(|text| text.contains("nothing"))
    );
    pod.more("gate", 5).await;
    let frames = kept(&[&pod], "gate");
    assert!(frames.iter().all(|seen| seen.session == session));
    let gaps = gaps(&frames);
    assert!(gaps.iter().all(|gap| *gap <= 2.1), "{gaps:?}");
}
