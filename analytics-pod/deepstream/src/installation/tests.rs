#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use super::*;

fn whole(version: Version) -> Installation {
    let elements = ELEMENTS.iter().filter(|element| version >= element.since).map(|element| {
        let found = ElementFound { plugin_version: Some(version.to_string()), properties: element.properties.to_vec() };
        (element.name, found)
    });
    Installation {
        folder: "/opt/nvidia/deepstream/deepstream".into(),
        folder_exists: true,
        library_version: Some(VersionFound { version, library: "libnvds_utils.so" }),
        file_version: Some(version),
        library_problem: None,
        elements: elements.collect(),
        plugin_files: ELEMENTS.iter().map(|element| element.plugin.to_owned()).collect(),
        gpus: vec!["NVIDIA L4".to_owned()],
    }
}

fn told(installation: &Installation) -> String {
    let problems: Vec<_> = installation.problems().iter().map(ToString::to_string).collect();
    problems.join("\n")
}

#[test]
fn every_version_is_whole_with_what_it_has() {
    for version in [(5, 0), (5, 1), (6, 0), (6, 1), (6, 2), (6, 3), (6, 4), (7, 0), (7, 1), (8, 0), (9, 0), (9, 1)] {
        let version = Version::new(version.0, version.1);
        let installation = whole(version);
        assert_eq!(installation.problems(), [], "{version}");
        let capabilities = installation.capabilities().unwrap();
        assert_eq!(capabilities.source_bin, version >= Version::new(6, 1), "{version}");
        assert_eq!(capabilities.analytics == AnalyticsTypes::Fixed, version >= Version::new(8, 0), "{version}");
    }
}

#[test]
fn the_libraries_word_counts_before_the_file_and_that_before_the_plugins() {
    let mut installation = whole(Version::new(7, 1));
    assert_eq!(installation.version(), Some((Version::new(7, 1), Evidence::Library("libnvds_utils.so"))));
    installation.library_version = None;
    installation.file_version = Some(Version::new(7, 0));
    assert_eq!(installation.version(), Some((Version::new(7, 0), Evidence::File)));
    installation.file_version = None;
    assert!(matches!(installation.version(), Some((version, Evidence::Plugin(_))) if version == Version::new(7, 1)));
    installation.elements.clear();
    assert_eq!(installation.version(), None);
}

#[test]
fn what_is_missing_is_told_with_what_brings_it() {
    let mut installation = whole(Version::new(7, 1));
    installation.elements.remove("nvinfer");
    installation.elements.remove("nvstreammux");
    installation.plugin_files.retain(|file| file != "libnvdsgst_multistream.so");
    installation.elements.get_mut("nvv4l2decoder").unwrap().properties.clear();
    installation.file_version = Some(Version::new(6, 4));
    installation.library_problem = Some("libnvdsgst_meta.so cannot be opened".to_owned());
    insta::assert_snapshot!(told(&installation));
}

#[test]
fn optional_elements_may_be_missing() {
    let mut installation = whole(Version::new(8, 0));
    for element in ELEMENTS.iter().filter(|element| element.need == Need::Optional) {
        installation.elements.remove(element.name);
    }
    assert_eq!(installation.problems(), []);
    let capabilities = installation.capabilities().unwrap();
    assert!(!capabilities.source_bin && !capabilities.tracker && !capabilities.native_overlay && !capabilities.rest);
}

#[test]
fn an_unknown_version_is_refused_in_one_sentence() {
    let installation = whole(Version::new(9, 2));
    insta::assert_snapshot!(told(&installation));
    assert_eq!(told(&Installation::default()).lines().count(), 1);
}

#[test]
fn the_choice_is_explained() {
    let complete = whole(Version::new(7, 1));
    let mut broken = whole(Version::new(7, 1));
    broken.elements.remove("nvinfer");
    let without_gpu = Installation { gpus: Vec::new(), ..complete.clone() };
    let absent = Installation { folder: "/opt/nvidia/deepstream/deepstream".into(), ..Installation::default() };
    let mut text = String::new();
    for request in [Request::Auto, Request::Native, Request::DeepStream] {
        for (name, cpu, installation) in [
            ("whole", false, &complete),
            ("whole, device CPU", true, &complete),
            ("without a GPU", false, &without_gpu),
            ("without nvinfer", false, &broken),
            ("absent", false, &absent),
        ] {
            let said = match choose(request, cpu, installation) {
                Ok(Chosen { deepstream: true, why }) => format!("DeepStream: {why}"),
                Ok(Chosen { deepstream: false, why }) => format!("Native: {why}"),
                Err(refused) => format!("refused: {refused}"),
            };
            writeln!(text, "{request:?}, {name} -> {said}").unwrap();
        }
    }
    insta::assert_snapshot!(text);
}
