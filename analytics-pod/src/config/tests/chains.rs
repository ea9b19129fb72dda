//! What builds on what.

use super::*;

fn lines(result: Result<Effective, ConfigErrors>, folder: &tempfile::TempDir) -> String {
    result.unwrap_err().to_string().replace(&*folder.path().to_string_lossy(), "")
}

#[test]
fn a_file_builds_on_what_it_names_else_on_the_profile_of_the_run() {
    let folder = folder(&[
        ("base.yaml", "extends: testing\nmodel: starter\nlog: {format: Text}\n"),
        ("pod.yaml", "extends: base.yaml\nlisten: 127.0.0.1:9000\n"),
        ("alone.json", "{\n\t\"listen\": \"127.0.0.1:9000\"\n}\n"),
        ("empty.yaml", "# nothing\n"),
    ]);
    let of = |name: &str, profile: Option<&str>| {
        let file = Some(folder.path().join(name));
        Inputs::new(file, profile.map(str::to_owned), Vec::new(), Vec::new()).read().unwrap()
    };
    let pod = of("pod.yaml", Some("production"));
    assert_eq!(pod.config.outputs, [OutputTarget::Nowhere], "of testing");
    assert_eq!((pod.config.log.format, pod.config.listen.port()), (LogFormat::Text, 9000));
    let alone = of("alone.json", Some("production"));
    assert_eq!((alone.config.log.format, alone.config.listen.port()), (LogFormat::Json, 9000));
    assert_eq!(of("alone.json", None).config.log.format, LogFormat::Auto);
    assert_eq!(of("empty.yaml", None).config, Inputs::default().read().unwrap().config);
    let named = Inputs::new(None, None, variables(&[("VISION_PROFILE", "production")]), Vec::new()).read().unwrap();
    assert_eq!(named.config.log.format, LogFormat::Json);
}

#[test]
fn a_list_is_one_value_and_null_takes_a_value_away() {
    let folder = folder(&[
        ("base.yaml", "files: [a, b]\ndetection: {confidence: 0.5, iou: 0.4}\nlog:\n"),
        ("pod.yaml", "extends: ./base.yaml\nfiles: [c]\ndetection: {confidence: null}\n"),
    ]);
    let effective = read(&folder.path().join("pod.yaml")).unwrap();
    assert_eq!(effective.config.files, [folder.path().join("c")]);
    assert_eq!((effective.config.detection.confidence, effective.config.detection.iou), (None, Some(0.4)));
    assert!(effective.origin("detection.confidence").unwrap().to_string().ends_with("pod.yaml:3"));
}

#[test]
fn one_way_to_say_a_rate_takes_the_place_of_the_other() {
    let folder = folder(&[("pod.yaml", "detection: {interval: 5s}\n")]);
    let file = Some(folder.path().join("pod.yaml"));
    let environment = variables(&[("VISION_DETECTION_FPS", "10")]);
    let effective = Inputs::new(file, None, environment, Vec::new()).read().unwrap();
    assert_eq!((effective.config.detection.fps, effective.config.detection.interval), (Some(10), None));
    assert_eq!(effective.origin("detection.interval").unwrap().to_string(), "VISION_DETECTION_FPS");
}

#[test]
fn circles_and_bases_that_are_not_there_are_refused() {
    let folder = folder(&[
        ("a.yaml", "model: starter\nextends: b.yaml\n"),
        ("b.yaml", "extends: ./a.yaml\n"),
        ("self.yaml", "extends: self.yaml\n"),
        ("typo.yaml", "extends: prodution\n"),
        ("gone.yaml", "\nextends: nowhere.yaml\n"),
        ("twice.yaml", "extends: default\nextends: testing\n"),
    ]);
    let told = |name: &str| lines(read(&folder.path().join(name)), &folder);
    assert_eq!(
        told("a.yaml"),
        "/b.yaml:1: extends: goes round in a circle: /a.yaml extends /b.yaml extends /a.yaml; let one of them extend nothing"
    );
    assert!(told("self.yaml").starts_with("/self.yaml:1: extends: goes round in a circle"), "{}", told("self.yaml"));
    assert_eq!(
        told("typo.yaml"),
        "/typo.yaml:1: extends: is no built-in profile; did you mean production?, or write the path of a file, as in ./base.yaml"
    );
    assert!(
        told("gone.yaml").starts_with("/gone.yaml:2: extends: nowhere.yaml cannot be read: "),
        "{}",
        told("gone.yaml")
    );
    assert!(
        told("twice.yaml").starts_with("/twice.yaml:2: is not valid YAML: extends comes twice"),
        "{}",
        told("twice.yaml")
    );
    let profile = Inputs::new(None, Some("prod".to_owned()), Vec::new(), Vec::new()).read().unwrap_err();
    assert_eq!(profile.to_string(), "--profile: is no built-in profile; did you mean production?");
    let missing = read(&folder.path().join("missing.yaml")).unwrap_err().to_string();
    assert!(missing.contains("missing.yaml: cannot be read: "), "{missing}");
}
