//! The state folder.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    assign::{DesiredState, ModelKey},
    observation::SourceKey,
    request_id::RequestId,
};

fn request() -> RequestId {
    RequestId::given("test").unwrap()
}

fn open(path: &Path) -> Registry {
    let (folder, held) = StateFolder::open(path).unwrap();
    Registry::new(DesiredState::default(), folder, held)
}

fn body(name: &str, fps: u32) -> Value {
    json!({"id": name, "uri": "rtsp://camera/1", "detection": {"fps": fps},
           "credentials": {"username": "operator", "password": "hunter2"}})
}

fn key(name: &str) -> SourceKey {
    SourceKey::new("default", name)
}

fn file(root: &Path, name: &str) -> PathBuf {
    root.join("sources/default").join(format!("{name}.json"))
}

#[test]
fn what_was_made_is_there_after_a_restart_and_for_its_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("deep/state");
    let long = format!("a{}", ".b".repeat(120));
    let before = {
        let registry = open(&path);
        registry.create_source(&request(), &body("gate", 5)).unwrap();
        registry.create_source(&request(), &body(&long, 7)).unwrap();
        registry.create_model(&request(), &json!({"id": "cars", "source": {"builtin": "starter"}})).unwrap();
        registry.snapshot().made.clone()
    };
    assert_eq!(before.sources.len(), 2);
    let registry = open(&path);
    assert_eq!(registry.snapshot().made, before);
    assert_eq!(fs::metadata(file(&path, "gate")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    registry.delete_source(&request(), &key(&long)).unwrap();
    registry.delete_model(&request(), &ModelKey::new("default", "cars")).unwrap();
    drop(registry);
    let left = open(&path).snapshot().made.clone();
    assert_eq!(left.sources.keys().collect::<Vec<_>>(), [&key("gate")]);
    assert!(left.models.is_empty());
}

#[test]
fn a_folder_serves_one_pod() {
    let root = tempfile::tempdir().unwrap();
    let first = open(root.path());
    let error = StateFolder::open(root.path()).unwrap_err();
    assert!(matches!(error, FolderError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("--state-folder"), "{error}");
    drop(first);
    assert!(StateFolder::open(root.path()).is_ok());
}

#[test]
fn a_folder_that_was_let_go_is_free_even_while_processes_are_started() {
    let root = tempfile::tempdir().unwrap();
    let starting = std::thread::spawn(|| {
        for _ in 0..200 {
            std::process::Command::new("true").status().unwrap();
        }
    });
    while !starting.is_finished() {
        drop(open(root.path()));
    }
    starting.join().unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    open(root.path()).create_source(&request(), &body("good", 5)).unwrap();
    fs::write(file(root.path(), "torn"), r#"{"password": "hunter2"#).unwrap();
    fs::write(
        file(root.path(), "wrong"),
        r#"{"id": "wrong", "uri": "rtsp://u:hunter2@c/1", "modelRef": {"name": "m"}}"#,
    )
    .unwrap();
    fs::copy(file(root.path(), "good"), file(root.path(), "copy")).unwrap();
    fs::create_dir(file(root.path(), "folder")).unwrap();
    fs::write(root.path().join("sources/default/.good.json.new"), "half").unwrap();
    let registry = open(root.path());
    let named: Vec<_> = registry.unreadable().iter().map(|file| file.path.file_name().unwrap().to_owned()).collect();
    assert_eq!(named, ["copy.json", "folder.json", "torn.json", "wrong.json"]);
    let told = registry.unreadable().iter().map(ToString::to_string).collect::<String>();
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(registry.snapshot().made.sources.keys().collect::<Vec<_>>(), [&key("good")]);
    assert!(!root.path().join("sources/default/.good.json.new").exists());
    let error = registry.create_source(&request(), &body("torn", 5)).unwrap_err();
    assert!(matches!(error, ChangeError::Folder(FolderError::Unreadable { .. })), "{error}");
    assert_eq!(fs::read_to_string(file(root.path(), "torn")).unwrap(), r#"{"password": "hunter2"#);
}

#[test]
fn what_cannot_be_kept_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state");
    let registry = open(&path);
    registry.create_source(&request(), &body("gate", 5)).unwrap();
    let before = registry.snapshot();
    let changes = registry.changes();
    fs::remove_dir_all(&path).unwrap();
    for refused in [
        registry.create_source(&request(), &body("yard", 5)).map(drop),
        registry.change_source(&request(), &key("gate"), &json!({"detection": {"fps": 9}}), true).map(drop),
        registry.create_model(&request(), &json!({"id": "cars", "source": {"builtin": "starter"}})).map(drop),
    ] {
        assert!(matches!(refused, Err(ChangeError::Folder(FolderError::Io { .. }))), "{refused:?}");
    }
    assert_eq!(registry.snapshot(), before);
    assert!(!changes.has_changed().unwrap());
}

#[test]
fn without_a_folder_changes_are_refused_with_the_reason() {
    let registry = Registry::read_only(DesiredState::default(), "another pod has it");
    let error = registry.create_source(&request(), &body("gate", 5)).unwrap_err();
    assert!(error.to_string().contains("another pod has it"), "{error}");
}

#[test]
fn only_what_was_made_here_can_be_changed() {
    let root = tempfile::tempdir().unwrap();
    let registry = open(root.path());
    registry.create_source(&request(), &body("gate", 5)).unwrap();
    let taken = registry.create_source(&request(), &body("gate", 5)).unwrap_err();
    assert!(matches!(taken, ChangeError::Exists { origin: Origin::Rest, .. }), "{taken}");
    let source = registry.snapshot().merged.state.clone();
    registry.declare(source);
    let snapshot = registry.snapshot();
    assert!(snapshot.merged.shadowed_sources.contains(&key("gate")));
    for refused in [
        registry.delete_source(&request(), &key("gate")),
        registry.change_source(&request(), &key("gate"), &json!({}), true).map(drop),
        registry.create_source(&request(), &body("gate", 5)).map(drop),
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("in a manifest or on the command line"), "{refused}");
    }
    registry.declare(DesiredState::default());
    registry.delete_source(&request(), &key("gate")).unwrap();
    assert!(matches!(registry.delete_source(&request(), &key("gate")), Err(ChangeError::NotFound(_))));
}

#[test]
fn a_model_in_use_stays() {
    let root = tempfile::tempdir().unwrap();
    let registry = open(root.path());
    registry.create_model(&request(), &json!({"id": "cars", "source": {"builtin": "starter"}})).unwrap();
    registry.create_source(&request(), &json!({"id": "gate", "uri": "test://smpte"})).unwrap();
    assert_eq!(registry.snapshot().made.sources[&key("gate")].spec.model_ref.name, "cars");
    let cars = ModelKey::new("default", "cars");
    let error = registry.delete_model(&request(), &cars).unwrap_err();
    assert!(matches!(&error, ChangeError::InUse { used_by, .. } if used_by == &["gate"]), "{error}");
    let unknown = registry.change_source(&request(), &key("gate"), &json!({"model": "card"}), true).unwrap_err();
    assert!(unknown.to_string().contains("did you mean cars?"), "{unknown}");
    registry.change_source(&request(), &key("gate"), &json!({"model": "starter"}), true).unwrap();
    registry.delete_model(&request(), &cars).unwrap();
}

/// What a caller may do.
#[derive(Clone, Debug)]
enum Step {
    Create(u8, u32),
    Patch(u8, u32),
    Delete(u8),
    Restart,
    /// A crash in the middle of writing, before the file was put in its place.
    Crash(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u8..4, 1_u32..100).prop_map(|(name, fps)| Step::Create(name, fps)),
        (0_u8..4, 1_u32..100).prop_map(|(name, fps)| Step::Patch(name, fps)),
        (0_u8..4).prop_map(Step::Delete),
        Just(Step::Restart),
        (0_u8..4).prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens in whatever order, the folder holds what was acknowledged.
    #[test]
    fn the_folder_holds_what_was_acknowledged(steps in steps()) {
        let root = tempfile::tempdir().unwrap();
        let name = |number: u8| format!("camera-{number}");
        let mut expected: BTreeMap<SourceKey, u32> = BTreeMap::new();
        let mut registry = open(root.path());
        for step in steps {
            match step {
                Step::Create(number, fps) => {
                    let done = registry.create_source(&request(), &body(&name(number), fps)).is_ok();
                    prop_assert_eq!(done, !expected.contains_key(&key(&name(number))));
                    expected.entry(key(&name(number))).or_insert(fps);
                }
                Step::Patch(number, fps) => {
                    let patch = json!({"detection": {"fps": fps}});
                    let done = registry.change_source(&request(), &key(&name(number)), &patch, true).is_ok();
                    prop_assert_eq!(done, expected.contains_key(&key(&name(number))));
                    expected.entry(key(&name(number))).and_modify(|before| *before = fps);
                }
                Step::Delete(number) => {
                    let done = registry.delete_source(&request(), &key(&name(number))).is_ok();
                    prop_assert_eq!(done, expected.remove(&key(&name(number))).is_some());
                }
                Step::Restart => {
                    drop(registry);
                    registry = open(root.path());
                }
                Step::Crash(number) => {
                    drop(registry);
                    let folder = root.path().join("sources/default");
                    fs::create_dir_all(&folder).unwrap();
                    fs::write(folder.join(format!(".{}.json.new", name(number))), "{\"id").unwrap();
                    registry = open(root.path());
                }
            }
            let snapshot = registry.snapshot();
            let found: BTreeMap<SourceKey, u32> = snapshot
                .made
                .sources
                .iter()
                .map(|(key, source)| (key.clone(), source.spec.detection.fps.unwrap_or_default() as u32))
                .collect();
            prop_assert_eq!(&found, &expected);
            prop_assert!(registry.unreadable().is_empty());
        }
    }
}
