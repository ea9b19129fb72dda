//! What requests and reading anew change.

use std::sync::{Arc, Mutex};

use super::*;
use crate::assign::{
    DesiredState,
    rest::{ChangeError, Held, Registry, StateFolder},
};

/// The level and the confidence, each time that values were applied.
type Applied = Arc<Mutex<Vec<(String, Option<f64>)>>>;

struct Running {
    store: Store,
    applied: Applied,
    state: std::path::PathBuf,
}

/// A pod with this state folder and file.
fn start(state: &Path, file: &Path) -> Running {
    let inputs = Inputs::new(Some(file.to_owned()), None, Vec::new(), Vec::new());
    let effective = inputs.read().unwrap();
    let (folder, mut held): (StateFolder, Held) = StateFolder::open(state).unwrap();
    let requested = held.config.take();
    let registry = Arc::new(Registry::new(DesiredState::default(), folder, held));
    let applied = Applied::default();
    let told = Arc::clone(&applied);
    let apply =
        move |config: &Config| told.lock().unwrap().push((config.log.level.clone(), config.detection.confidence));
    Running { store: Store::new(inputs, effective, requested, registry, apply), applied, state: state.to_owned() }
}

impl Running {
    fn last(&self) -> (String, Option<f64>) {
        self.applied.lock().unwrap().last().cloned().unwrap()
    }

    fn reload(&self) -> Result<Reloaded, ConfigErrors> {
        self.store.accept(&self.store.read_anew()?)
    }

    fn from(&self, path: &str) -> String {
        self.store.current().origin(path).unwrap().to_string()
    }

    fn kept(&self) -> Option<Value> {
        Some(serde_json::from_slice(&fs::read(self.state.join("config.json")).ok()?).unwrap())
    }
}

fn fields(error: ChangeError) -> Vec<String> {
    match error {
        ChangeError::Invalid(errors) | ChangeError::Fixed(errors) => {
            errors.into_iter().map(|error| error.field).collect()
        }
        other => vec![other.to_string()],
    }
}

#[test]
fn requests_stand_before_everything_are_kept_and_taken_back() {
    let folder = folder(&[("pod.yaml", "detection: {confidence: 0.3, iou: 0.6}\nlog: {level: warn}\n")]);
    let (state, file) = (folder.path().join("state"), folder.path().join("pod.yaml"));
    let pod = start(&state, &file);
    pod.store.change(&json!({"log": {"level": "debug"}, "detection": {"confidence": 0.8}})).unwrap();
    assert_eq!(pod.last(), ("debug".to_owned(), Some(0.8)));
    assert_eq!(pod.from("log.level"), "REST");
    drop(pod);

    let pod = start(&state, &file);
    assert_eq!(pod.last(), ("debug".to_owned(), Some(0.8)), "after a restart");
    pod.store.change(&json!({"log": {"level": null}})).unwrap();
    assert_eq!(pod.last(), ("warn".to_owned(), Some(0.8)));
    assert!(pod.from("log.level").ends_with("pod.yaml:2"));

    pod.store.replace_detection(&json!({"fps": 5})).unwrap();
    let detection = pod.store.current().config.detection.clone();
    assert_eq!(
        (detection.fps, detection.confidence, detection.iou),
        (Some(5), None, None),
        "the document is all of it"
    );
    assert_eq!(pod.from("detection.iou"), "REST");
    pod.store.change(&json!({"detection": null})).unwrap();
    assert_eq!(pod.store.current().config.detection.confidence, Some(0.3));
    assert_eq!(pod.kept(), Some(json!({})));
}

#[test]
fn nothing_changes_unless_everything_can() {
    let folder = folder(&[("pod.yaml", "detection: {confidence: 0.3}\n")]);
    let pod = start(&folder.path().join("state"), &folder.path().join("pod.yaml"));
    for (patch, expected) in [
        (json!({"detection": {"confidence": 0.5, "iou": 2}}), vec!["detection.iou"]),
        (json!({"detection": {"fps": 5, "interval": "2s"}}), vec!["detection"]),
        (json!({"detection": {"confidence": 0.5}, "log": {"level": "loud"}}), vec!["log.level"]),
        (json!({"detection": {"confidence": 0.5}, "listen": "127.0.0.1:1"}), vec!["listen"]),
        (json!({"detection": {"confidence": 0.5}, "sources": [], "outputs": ["none"]}), vec!["outputs"]),
        (json!({"extends": "testing"}), vec!["extends"]),
        (json!([]), vec![""]),
        (json!(null), vec![""]),
        (json!({"detction": {}}), vec!["detction"]),
    ] {
        assert_eq!(fields(pod.store.change(&patch).unwrap_err()), expected, "{patch}");
    }
    for (document, expected) in [
        (json!({"confidence": "high"}), vec!["confidence"]),
        (json!({"fps": 5, "interval": "2s"}), vec![""]),
        (json!({"interval": "0s"}), vec!["interval"]),
        (json!(3), vec![""]),
    ] {
        assert_eq!(fields(pod.store.replace_detection(&document).unwrap_err()), expected, "{document}");
    }
    assert_eq!((pod.last().1, pod.kept()), (Some(0.3), None));
    // What has the value already is no change.
    pod.store.change(&json!({"listen": "127.0.0.1:8080", "detection": {"confidence": 0.5}})).unwrap();
    assert_eq!(pod.kept(), Some(json!({"detection": {"confidence": 0.5}})));
}

#[test]
fn a_file_that_is_read_anew_changes_what_can_change() {
    let folder = folder(&[("pod.yaml", "log: {level: warn}\n")]);
    let file = folder.path().join("pod.yaml");
    let pod = start(&folder.path().join("state"), &file);
    assert_eq!(pod.reload().unwrap(), Reloaded::default());
    fs::write(&file, "log: {level: info}\nlisten: 127.0.0.1:9999\ndetection: {confidence: 0.4}\n").unwrap();
    let expected = Reloaded { changed: vec!["detection.confidence", "log.level"], pending_restart: vec!["listen"] };
    assert_eq!(pod.reload().unwrap(), expected);
    assert_eq!(pod.last(), ("info".to_owned(), Some(0.4)));
    let shown = pod.store.shown();
    assert_eq!((shown.config["listen"].clone(), &*shown.pending_restart), (json!("127.0.0.1:8080"), &["listen"][..]));
    // A request after it does not bring in what waits for the next start.
    pod.store.change(&json!({"log": {"level": "debug"}})).unwrap();
    assert_eq!(pod.store.current().config.listen.port(), 8080);
    assert_eq!(pod.store.shown().pending_restart, ["listen"]);

    fs::write(&file, "log: {level: error}\ndetection: {confidence: 4}\n").unwrap();
    assert!(pod.reload().unwrap_err().to_string().contains("pod.yaml:2: detection.confidence: is 4"));
    assert_eq!(pod.last(), ("debug".to_owned(), Some(0.4)), "all of it stays");
    fs::write(&file, "log: {level: error}\n").unwrap();
    assert_eq!(pod.reload().unwrap(), Reloaded { changed: vec!["detection.confidence"], pending_restart: vec![] });
    assert_eq!(pod.last(), ("debug".to_owned(), None), "what a request says stays");
}

#[test]
fn what_was_kept_and_cannot_be_used_is_left_alone() {
    let folder = folder(&[("pod.yaml", "log: {level: warn}\n")]);
    let (state, file) = (folder.path().join("state"), folder.path().join("pod.yaml"));
    for text in ["{\"log\": {\"level\": 3}}", "{\"log\""] {
        fs::create_dir_all(&state).unwrap();
        fs::write(state.join("config.json"), text).unwrap();
        let pod = start(&state, &file);
        assert_eq!(pod.last().0, "warn");
        let error = pod.store.change(&json!({"log": {"level": "debug"}})).unwrap_err().to_string();
        assert!(error.contains("config.json"), "{error}");
        assert_eq!(fs::read_to_string(state.join("config.json")).unwrap(), text);
    }
}
