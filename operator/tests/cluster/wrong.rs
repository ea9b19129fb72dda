//! Wrong objects, given to the API server as people give them: with `kubectl`.
//!
//! `wrong/` has one document for each kind of mistake. Each is either refused, or taken and then told of by a condition; the
//! snapshots hold the words, so that a person can read whether they help.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    process::{Output, Stdio},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;
use tokio::time::Instant;

use crate::scene::{Scene, eventually, version};

/// The password in the documents.
const PASSWORD: &str = "swordfish";

/// What is said of every custom resource with an error beside.
const UNCHECKED: &str = "some validation rules were not checked";

/// How many kinds of mistakes there are at the least.
const KINDS: usize = 140;

/// What changes good objects for the worse.
const EDITS: [(&str, &[&str]); 8] = [
    ("more pods by kubectl scale than are allowed", &["scale", "dm/people", "--replicas=9"]),
    (
        "an edit that puts a password in",
        &["patch", "vsrc/gate", "--type=merge", "-p", r#"{"spec":{"uri":"rtsp://admin:swordfish@camera.example/1"}}"#],
    ),
    (
        "an edit that makes waits contradict each other",
        &["patch", "vsrc/gate", "--type=merge", "-p", r#"{"spec":{"recovery":{"maxBackoff":"100ms"}}}"#],
    ),
    (
        "an edit that takes the model away",
        &["patch", "vsrc/gate", "--type=merge", "-p", r#"{"spec":{"modelRef":null}}"#],
    ),
    (
        "an edit with two sources",
        &["patch", "dm/people", "--type=merge", "-p", r#"{"spec":{"source":{"file":"/models/a.onnx"}}}"#],
    ),
    (
        "an epoch that goes back",
        &["patch", "vsrc/gate", "--subresource=status", "--type=merge", "-p", r#"{"status":{"epoch":1}}"#],
    ),
    (
        "an epoch for two pods",
        &[
            "patch",
            "vsrc/gate",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"assignment":{"pod":"another"}}}"#,
        ],
    ),
    (
        "a status that is lost",
        &["patch", "vsrc/gate", "--subresource=status", "--type=json", "-p", r#"[{"op":"remove","path":"/status"}]"#],
    ),
];

/// A document and what it is about.
struct Mistake {
    title: &'static str,
    body: &'static str,
}

fn mistakes(text: &'static str) -> impl Iterator<Item = Mistake> {
    text.split("---\n").map(|document| {
        let (title, body) = document.split_once('\n').unwrap();
        Mistake { title: title.strip_prefix("# ").unwrap(), body }
    })
}

impl Mistake {
    /// The name of the object that is made of it.
    fn name(&self) -> String {
        let words = self.title.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-").to_lowercase()
    }

    /// With what every object has.
    fn object(&self, kind: &str) -> String {
        format!("apiVersion: {}\nkind: {kind}\nmetadata: {{name: {}}}\n{}", crds::API_VERSION, self.name(), self.body)
    }
}

/// What became of it: the words of the refusal, or nothing.
fn give(scene: &Scene, arguments: &[&str], document: &str) -> Option<String> {
    let mut kubectl = scene.plane.kubectl(&scene.stage.namespace).unwrap();
    let mut kubectl =
        kubectl.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    kubectl.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    let Output { status, stderr, .. } = kubectl.wait_with_output().unwrap();
    let words = String::from_utf8(stderr).unwrap();
    let words: Vec<&str> = words.lines().filter(|line| !line.contains(UNCHECKED)).collect();
    (!status.success()).then(|| words.join("\n"))
}

/// The conditions that say no.
fn told(conditions: &[Condition]) -> Option<String> {
    let mut text = String::new();
    for Condition { type_, reason, message, .. } in conditions.iter().filter(|condition| condition.status == "False") {
        // On its way is no answer.
        if matches!(
            &**reason,
            "WaitingForPod" | "PodsStarting" | "NotAssigned" | "Connecting" | "RollingOut" | "NoPods"
        ) {
            continue;
        }
        // What the scheduler says depends on the nodes of other tests.
        let message = match message.split_once(" nodes are available") {
            Some((before, _)) => {
                let before = before.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '/');
                format!("{before}(the scheduler's words)")
            }
            None => message.clone(),
        };
        writeln!(text, "{type_}=False {reason}: {message}").unwrap();
    }
    (!text.is_empty()).then_some(text)
}

/// Names of pods hold the moment that they were made at.
fn without_moments(text: &str, model: &str) -> String {
    let start = format!("{model}-");
    let mut parts = text.split(&start);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let moment = part.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let shown = if moment == 8 { "MOMENT" } else { &part[..moment] };
        format!("{text}{model}-{shown}{}", &part[moment..])
    })
}

/// What became of every mistake, and how long those that were taken waited for an answer.
#[derive(Default)]
struct Findings {
    text: String,
    kinds: usize,
    waited: BTreeMap<String, Duration>,
}

impl Findings {
    fn note(&mut self, title: &str, words: &str) {
        assert!(!words.contains(PASSWORD), "{title}: {words}");
        self.kinds += 1;
        writeln!(self.text, "## {title}\n{}\n", words.trim_end()).unwrap();
    }

    async fn try_all(&mut self, scene: &Scene, kind: &str, text: &'static str) {
        for mistake in mistakes(text) {
            let refusal = tokio::task::block_in_place(|| give(scene, &["create", "-f", "-"], &mistake.object(kind)));
            if let Some(words) = refusal {
                self.note(mistake.title, &words);
                continue;
            }
            let given = Instant::now();
            let name = mistake.name();
            let words = eventually(&format!("{:?} is answered", mistake.title), async || {
                let conditions = match kind {
                    "VideoSource" => scene.status(&name).await.conditions,
                    _ => scene.models().get(&name).await.unwrap().status.unwrap_or_default().conditions,
                };
                told(&conditions)
            })
            .await;
            self.waited.insert(mistake.title.to_owned(), given.elapsed());
            self.note(mistake.title, &format!("(taken)\n{}", without_moments(&words, &name)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_objects_are_refused_or_told_and_good_ones_do_not_notice() {
    let Some(scene) = Scene::set("wrong").await else { return };
    let _tell = scene.tell();
    scene.add_model("people", 8, 1).await;
    scene.add_source("gate", json!({})).await;
    scene.all_stream().await;
    scene.add_model("nothing", 8, 0).await;
    scene.add_model("small", 8, 0).await;
    let serving = |name: &'static str, serving: serde_json::Value| {
        let models = scene.models();
        async move {
            let patch = kube::api::Patch::Merge(json!({ "spec": { "serving": serving } }));
            models.patch(name, &kube::api::PatchParams::default(), &patch).await.unwrap();
        }
    };
    serving("nothing", json!({ "replicas": 0 })).await;
    serving("small", json!({ "capacity": { "inferencesPerSecond": 10 } })).await;
    let model = eventually("the model is at rest", async || {
        let model = scene.models().get("people").await.unwrap();
        (model.status.as_ref()?.streams == 1).then_some(model)
    })
    .await;
    let source = scene.sources().get("gate").await.unwrap();

    let mut findings = Findings::default();
    findings.try_all(&scene, "DetectionModel", include_str!("wrong/models.yaml")).await;
    insta::assert_snapshot!("wrong_models", findings.text.split_off(0));
    findings.try_all(&scene, "VideoSource", include_str!("wrong/sources.yaml")).await;
    insta::assert_snapshot!("wrong_sources", findings.text.split_off(0));
    for mistake in mistakes(include_str!("wrong/documents.yaml")) {
        let words = tokio::task::block_in_place(|| give(&scene, &["create", "-f", "-"], mistake.body));
        findings.note(mistake.title, &words.unwrap_or_else(|| panic!("{} was taken", mistake.title)));
    }
    for (title, arguments) in EDITS {
        let words = tokio::task::block_in_place(|| give(&scene, arguments, ""));
        findings.note(title, &words.unwrap_or_else(|| panic!("{title} was taken")));
    }
    insta::assert_snapshot!("wrong_documents_and_edits", findings.text);

    let slowest = findings.waited.iter().max_by_key(|(_, waited)| **waited).unwrap();
    let waited: Vec<String> = findings.waited.iter().map(|(title, waited)| format!("{waited:.2?} {title}")).collect();
    println!("{} kinds; {} were taken and told of, the slowest after {slowest:?}", findings.kinds, waited.len());
    println!("{}", waited.join("\n"));
    assert!(findings.kinds >= KINDS, "{} kinds", findings.kinds);
    assert_eq!(
        version(&scene.sources().get("gate").await.unwrap()),
        version(&source),
        "the good source was not touched"
    );
    assert_eq!(
        version(&scene.models().get("people").await.unwrap()),
        version(&model),
        "the good model was not touched"
    );
}
