//! Manifests with mistakes.

use std::path::Path;

use proptest::prelude::*;

use super::{MODEL, camera, errors, folder, load, names, source};

#[test]
fn each_mistake_is_one_error_with_place_and_remedy() {
    let folder = folder(&[
        ("a-model.yaml", MODEL),
        (
            "b-typo.yaml",
            &source("typo", "  uri: sim://street\n  detecton: {fps: 5}\n  detection:\n    confidnce: 0.4\n"),
        ),
        ("c-bounds.yaml", &source("bounds", "  uri: sim://street\n  detection: {confidence: 1.5, iou: -1, fps: 0}\n")),
        (
            "d-types.yaml",
            &source("types", "  uri: 5\n  enabled: \"yes\"\n  detection:\n    classes: person\n    fps: 2.5\n"),
        ),
        ("e-password.yaml", &source("password", "  uri: rtsp://admin:hunter2@camera/live\n")),
        (
            "f-union.yaml",
            &source(
                "union",
                "  uri: sim://street\n  detection: {fps: 5, interval: 2s}\n  recovery: {maxBackoff: 100ms}\n",
            ),
        ),
        ("g-model-ref.yaml", &camera("dangling").replace("name: starter", "name: startr")),
        ("h-secret.yaml", &source("no-secret", "  uri: rtsp://camera/live\n  credentialsSecretRef: {name: login}\n")),
        ("i-duplicate.yaml", &format!("{}---\n{}", camera("twice"), camera("twice"))),
        (
            "j-kinds.yaml",
            "apiVersion: vision-operator.dev/v1alpha1\nkind: VideoSorce\nmetadata: {name: a}\n---\n\
             apiVersion: vision-operator.dev/v1\nkind: VideoSource\nmetadata: {name: a}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\n---\nkind: VideoSource\n---\njust text\n",
        ),
        ("k-enum.yaml", &source("enum", "  uri: rtsp://camera/live\n  transport: {protocol: tcp, latency: 50}\n")),
        ("l-duration.yaml", &source("duration", "  uri: sim://street\n  recovery: {stallTimeout: 5 seconds}\n")),
        (
            "m-scheme.yaml",
            &source("scheme", "  uri: whep://host/camera\n  fallbackURIs: [\"onvif://h/\", \"udp://0.0.0.0\"]\n"),
        ),
        ("n-scheme.yaml", &source("unknown-scheme", "  uri: rtps://camera/live\n")),
        ("o-syntax.yaml", &format!("{}---\nspec: [1\n---\n{}", camera("before"), camera("after"))),
        ("p-missing.yaml", "apiVersion: vision-operator.dev/v1alpha1\nkind: VideoSource\nmetadata: {}\nspec: {}\n"),
        ("q-name.yaml", &camera("North_Gate")),
        (
            "r-model.yaml",
            "apiVersion: vision-operator.dev/v1alpha1\nkind: DetectionModel\nmetadata: {name: broken}\nspec:\n  \
             source: {url: \"https://example.com/m.onnx\"}\n  layout: YOLOv9\n  preprocess: {mean: [0, 0]}\n  \
             thresholds:\n    perClass:\n      - {name: person, confidence: 2}\n      - {name: person, confidence: 0.5}\n",
        ),
        ("s-uses-broken.yaml", &camera("uses-broken").replace("name: starter", "name: broken")),
        ("t-port.yaml", &source("port", "  uri: rtsp://camera:99999/live\n")),
        (
            "v-odd-names.yaml",
            "apiVersion: vision-operator.dev/v1alpha1\nkind: DetectionModel\nmetadata: {name: \"rtsp://u:hunter2@h\"}\nspec: \
             {source: {builtin: starter, \"rtsp://u:hunter2@h\": 1}, device: \"rtsp://u:hunter2@h\"}\n",
        ),
        ("w-odd-reference.yaml", &camera("odd-reference").replace("name: starter", "name: \"rtsp://u:hunter2@h\"")),
        ("u-classes.yaml", &source("classes", "  uri: sim://street\n  detection: {classes: [person, person]}\n")),
    ]);
    let loaded = load(folder.path());
    let text = errors(&loaded, folder.path());
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
    assert_eq!(names(&loaded), ["after", "before", "twice"], "the good objects are all there");
}

#[test]
fn a_secret_is_never_quoted() {
    let secret = |lines: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\n{lines}");
    let folder = folder(&[
        ("a.yaml", &secret("type: Opaque\nstringData: {username: admin, password: hunter2}\n")),
        ("b.yaml", &secret("type: kubernetes.io/basic-auth\nstringData: {username: admin, pasword: hunter2}\n")),
        ("c.yaml", &secret("type: kubernetes.io/basic-auth\nstringData: {username: admin, password: [hunter2]}\n")),
        ("d.yaml", &secret("type: kubernetes.io/basic-auth\ndata: {username: YWRtaW4=, password: hunter2}\n")),
        ("e.yaml", &secret("type: kubernetes.io/basic-auth\nstringData: {username: admin, password: 12345678}\n")),
        ("f.yaml", &secret("type: hunter2\nstringData:\n  username: admin\n  password: \"hunter2\n")),
        ("g.yaml", &secret("type: kubernetes.io/basic-auth\nstringData: {username: admin, hunter2: }\n")),
        (
            "h.yaml",
            &secret("type: kubernetes.io/basic-auth\nstringData: {username: \"\", password: hunter2}\nhunter2: 1\n"),
        ),
    ]);
    let loaded = load(folder.path());
    let text = errors(&loaded, folder.path());
    assert!(!text.contains("hunter2") && !text.contains("12345678"), "{text}");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    insta::assert_snapshot!(text);
}

#[test]
fn what_cannot_be_read_is_said() {
    let folder = folder(&[("latin1.yaml", "")]);
    std::fs::write(folder.path().join("latin1.yaml"), b"name: \xe9").unwrap();
    let loaded = load(&folder.path().join("latin1.yaml"));
    assert!(loaded.errors[0].to_string().contains("save it as UTF-8"), "{:?}", loaded.errors);
    let loaded = load(&folder.path().join("missing"));
    assert!(loaded.errors[0].to_string().contains("No such file"), "{:?}", loaded.errors);
    let loaded = load(Path::new("/nonexistent/folder"));
    assert_eq!(loaded.errors.len(), 1);
}

/// One change to a manifest: a line is dropped, doubled, or gets other text.
fn mutated(text: String) -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "null",
        "[]",
        "{}",
        "-1",
        "1e400",
        "\"",
        "- x",
        "kind: Secret",
        "spec:",
        "---",
        "*a",
        "&a [*a]",
        "rtsp://u:hunter2@h",
    ]);
    let change = (0..text.lines().count(), words, 0..4);
    prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (index, word, how) in changes {
            match (how, lines.get(index).cloned()) {
                (_, None) => {}
                (0, Some(_)) => drop(lines.remove(index)),
                (1, Some(line)) => lines.insert(index, line),
                (2, Some(line)) => {
                    lines[index] = line.split_once(':').map_or(word.to_owned(), |(key, _)| format!("{key}: {word}"));
                }
                (_, Some(_)) => lines[index] = word.to_owned(),
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_file_makes_it_panic_or_tell_a_secret(
        text in mutated(format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\ntype: kubernetes.io/basic-auth\nstringData:\n  \
             username: admin\n  password: hunter2\n---\n{}",
            source("a", "  uri: rtsp://camera/live\n  credentialsSecretRef:\n    name: login\n  detection:\n    fps: 5\n"),
        )),
    ) {
        let folder = folder(&[("good.yaml", &format!("{MODEL}---\n{}", camera("good"))), ("mutated.yaml", &text)]);
        let loaded = load(folder.path());
        prop_assert!(names(&loaded).contains(&"good"), "{}", text);
        let told = format!("{loaded:?}{}", errors(&loaded, folder.path()));
        prop_assert!(!told.contains("hunter2"), "{}\n{}", text, told);
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}|[-a-z: \n\\[\\]{}\"&*!]{0,200}") {
        let folder = folder(&[("a.yaml", &text)]);
        let _ = load(folder.path());
    }
}
