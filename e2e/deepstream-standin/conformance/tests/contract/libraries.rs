//! Symbols, layouts, metadata and events.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::scene::{EPOCHS, Scene, install_at, installation};

#[test]
fn the_libraries_tell_the_version_and_sizes_of_their_epoch() {
    let sizes = [
        ("5.0-DP", [5, 0], [192, 488, 56, 6912, 48, 200]),
        ("5.0", [5, 0], [192, 544, 56, 6912, 48, 200]),
        ("5.1", [5, 1], [192, 544, 56, 6912, 48, 200]),
        ("6.0", [6, 0], [200, 544, 64, 6912, 48, 200]),
        ("6.2", [6, 2], [200, 544, 64, 6912, 48, 200]),
        ("6.3", [6, 3], [200, 544, 64, 6912, 48, 200]),
        ("7.1", [7, 1], [200, 544, 64, 6912, 48, 200]),
        ("8.0", [8, 0], [232, 544, 64, 6912, 48, 200]),
        ("9.0", [9, 0], [232, 552, 64, 7040, 48, 200]),
        ("9.1", [9, 1], [232, 552, 64, 7040, 48, 200]),
    ];
    for (version, number, sizes) in sizes {
        let told = Scene::new("7.1", "version", &[]).playing(version).play();
        assert_eq!(*told.one("version"), json!(number), "{version}");
        let told = Scene::new("7.1", "pools", &[]).playing(version).play();
        assert_eq!(*told.one("sizes"), json!(sizes), "{version}");
    }
}

#[test]
fn the_version_file_tells_the_version_where_the_variable_does_not() {
    for version in ["5.0-DP", "6.1", "9.0"] {
        let root = installation(version);
        let text = fs::read_to_string(root.join("version")).unwrap();
        assert!(text.starts_with("Version: "), "{text}");
        let expected = deepstream_standin::version::read_version_file(&root).unwrap();
        assert_eq!(expected.to_string(), version);
    }
}

#[test]
fn a_version_that_never_was_ends_the_process_with_one_line() {
    let told = Scene::new("7.1", "version", &[]).playing("seven").play();
    assert!(told.errors.contains("\"seven\" is no version of DeepStream"), "{told:?}");
    assert!(told.all("version").is_empty());
}

#[test]
fn a_library_that_lies_about_its_layout_can_be_played() {
    let told = Scene::new("9.1", "pools", &[]).env("VISION_STANDIN_LAYOUT", "7.1").play();
    assert_eq!(told.one("sizes")[1], json!(544));
}

#[test]
fn pools_grow_where_they_are_empty() {
    let told = Scene::new("7.1", "pools", &[]).play();
    let (first, grown) = (told.one("first"), told.one("grown"));
    assert_eq!(grown[0].as_u64(), first[0].as_u64().map(|count| count + 1));
    assert_eq!(grown[1], json!(0));
}

#[test]
fn metadata_is_found_only_once_its_type_has_been_asked_for() {
    let told = Scene::new("7.1", "quark", &[]).play();
    assert_eq!(*told.one("before"), json!(true));
    assert!(told.errors.contains("GStreamer-CRITICAL"), "{}", told.errors);
}

#[test]
fn copied_buffers_have_metadata_of_their_own_in_every_epoch() {
    for version in EPOCHS {
        let told = Scene::new(version, "copies", &[]).play();
        assert_eq!(*told.one("released-first"), json!(1), "{version}: {told:?}");
        assert_eq!(*told.one("text"), json!("a child"));
        assert_eq!(*told.one("user"), json!(7));
        assert_eq!(*told.one("released"), json!(2));
    }
}

#[test]
fn events_are_sticky_from_6_3_on_and_have_their_published_numbers() {
    for (version, flags) in [("5.1", 0b0110), ("6.2", 0b0110), ("6.3", 0b1_1110), ("9.1", 0b1_1110)] {
        let told = Scene::new(version, "events", &[]).play();
        for (name, number) in [
            ("gst_nvevent_new_pad_added", 400),
            ("gst_nvevent_new_pad_deleted", 401),
            ("gst_nvevent_new_stream_eos", 402),
        ] {
            let event = told.one(name);
            assert_eq!(event["type"], json!(number << 8 | flags), "{version} {name}");
            assert_eq!(event["source"], json!(3));
        }
        assert_eq!(*told.one("message"), json!(5));
    }
}

#[test]
fn types_of_users_metadata_are_given_out_by_name() {
    let told = Scene::new("7.1", "types", &[]).play();
    let types = told.one("types");
    assert_eq!(types[0], types[2]);
    assert_ne!(types[0], types[1]);
    assert!(types[0].as_i64().unwrap() >= 8193);
}

#[test]
fn each_symbol_is_in_the_library_that_really_has_it() {
    let root = installation("7.1");
    let symbols = |library: &str| {
        let output = Command::new("nm").args(["-D", "--defined-only"]).arg(root.join("lib").join(library)).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines().filter_map(|line| line.rsplit(' ').next()).map(str::to_owned).collect::<Vec<_>>()
    };
    let places = [
        ("libnvds_utils.so", "nvds_version"),
        ("libnvdsgst_meta.so", "gst_buffer_get_nvds_batch_meta"),
        ("libnvdsgst_meta.so", "nvds_meta_api_get_type"),
        ("libnvds_meta.so", "nvds_get_user_meta_type"),
        ("libnvds_meta.so", "nvds_acquire_meta_lock"),
        ("libnvdsgst_helper.so", "gst_nvmessage_parse_stream_eos"),
        ("libnvdsgst_helper.so", "gst_nvevent_parse_pad_added"),
        ("libnvdsgst_customhelper.so", "gst_nvevent_infer_interval_update"),
    ];
    let libraries = deepstream_standin::install::LIBRARIES;
    for (library, symbol) in places {
        for other in libraries {
            let has = symbols(other).iter().any(|name| name == symbol);
            assert_eq!(has, other == library, "{symbol} in {other}");
        }
    }
}

#[test]
fn without_one_of_its_libraries_no_plugin_loads() {
    let folder = tempfile::tempdir().unwrap();
    let root = install_at(folder.path(), "7.1");
    fs::remove_file(root.join("lib/libnvdsgst_helper.so")).unwrap();
    let told = Scene::at(&root, "7.1", "inspect", &["nvinfer"]).play();
    assert_eq!(told.all("absent").len(), 1, "{told:?}");
    assert!(told.errors.contains("libnvdsgst_helper.so"), "{}", told.errors);
}

#[test]
fn an_installation_lies_as_a_real_one() {
    let root = installation("7.1");
    for name in [
        "version",
        "lib/libnvds_meta.so",
        "lib/gst-plugins/libnvdsgst_infer.so",
        "lib/gst-plugins/libnvdsgst_multistream.so",
        "sources/includes/nvdsinfer_custom_impl.h",
    ] {
        assert!(Path::new(&root).join(name).exists(), "{name}");
    }
    assert!(!installation("5.1").join("lib/gst-plugins/libnvdsgst_nvurisrcbin.so").exists());
}

#[test]
fn install_sh_says_how_it_is_used() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../install.sh");
    let output = Command::new(script).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("install.sh ROOT VERSION"));
}
