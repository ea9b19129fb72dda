//! The schema, the profiles and the types agree.

use std::collections::BTreeSet;

use super::*;
use crate::{assign::document::parse, config::layer::settings_of};

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&published()).unwrap()
}

/// A profile as JSON.
fn profile(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn every_profile_is_good_and_as_the_published_schema_has_it() {
    for (name, text) in PROFILES {
        let effective = Inputs::new(None, Some(name.to_owned()), Vec::new(), Vec::new()).read().unwrap();
        assert!(effective.listed(None).is_ok());
        let faults: Vec<String> = validator().iter_errors(&profile(text)).map(|error| error.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_default_profile_names_every_key_and_its_variable() {
    let (_, text) = PROFILES[0];
    let document = parse(text).pop().unwrap().unwrap();
    let named: BTreeSet<String> =
        settings_of(&document, None, |line| Origin::Profile { name: "default", line }).into_keys().collect();
    let known: BTreeSet<String> = keys().iter().map(|key| key.path.clone()).collect();
    assert_eq!(named, known);
    for key in keys() {
        let variable = &key.variable;
        assert!(text.contains(&format!("({variable})")) || text.contains(&format!("({variable},")), "{variable}");
        let says = |word: &str| comment_of(text, &key.path).contains(word);
        assert_eq!(says("SIGHUP"), key.change != Change::Restart, "{}", key.path);
    }
}

/// The comments above a key and its section.
fn comment_of(text: &str, path: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let document = parse(text).pop().unwrap().unwrap();
    let above = |path: &str| {
        let line = usize::try_from(document.line_of(path)).unwrap() - 1;
        let comments = lines[..line].iter().rev().take_while(|line| line.trim_start().starts_with('#'));
        comments.copied().collect::<Vec<_>>().join(" ")
    };
    let section = path.split_once('.').map(|(section, _)| above(section)).unwrap_or_default();
    section + &above(path)
}

#[test]
fn every_key_of_every_profile_has_a_comment() {
    for (name, text) in PROFILES {
        let lines: Vec<&str> = text.lines().collect();
        let is_key = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| is_key(line)) {
            let is_section = line.ends_with(':');
            let above = number.checked_sub(1).map(|number| lines[number]).unwrap_or_default();
            assert!(is_section || above.trim_start().starts_with('#'), "{name}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn variables_and_keys_stand_for_each_other() {
    let variables: BTreeSet<&str> = keys().iter().map(|key| key.variable.as_str()).collect();
    assert_eq!(variables.len(), keys().len());
    for known in [
        "VISION_LISTEN",
        "VISION_STATE_FOLDER",
        "VISION_API_TOKEN_FILE",
        "VISION_LOG_FILE",
        "VISION_ONNXRUNTIME",
        "VISION_CACHE_DIR",
    ] {
        assert!(variables.contains(known), "{known}");
    }
}

#[test]
fn every_key_is_described() {
    fn check(schema: &Value, path: &str) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(property["description"].is_string(), "{path}");
            // What is in the lists has a schema of its own.
            if property["type"] != json!(["array", "null"]) {
                check(property, &path);
            }
        }
    }
    check(&published(), "");
}

#[test]
fn what_the_published_schema_refuses_the_reader_refuses() {
    for (text, good) in [
        ("sources:\n- {id: gate, uri: 'rtsp://camera/1', model: starter}\n", true),
        ("sources:\n- {id: gate, uri: 'rtsp://camera/1', credentials: {username: a, password: b}}\n", false),
        ("sources:\n- {id: gate}\n", false),
        ("models:\n- {id: own, source: {file: own.onnx}}\n", true),
        ("models:\n- {id: own, sorce: {file: own.onnx}}\n", false),
        ("log: {format: json}\n", false),
        ("detection: {confidence: 0.5, fps: null}\n", true),
        ("extends: production\n", true),
        ("listn: 1\n", false),
    ] {
        let folder = folder(&[("pod.yaml", text)]);
        let model = crate::assign::DesiredModel {
            key: crate::assign::ModelKey::new("default", "starter"),
            spec: crds::DetectionModelSpec::new(crds::ModelSource::default()),
        };
        let read = read(&folder.path().join("pod.yaml")).and_then(|read| read.listed(Some(model.into())));
        assert_eq!(read.is_ok(), good, "{text}: {read:?}");
        assert_eq!(validator().is_valid(&profile(text)), good, "{text}");
    }
}
