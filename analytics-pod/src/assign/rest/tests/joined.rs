//! What is declared and what was made, together.

use serde_json::json;

use super::*;
use crate::{
    assign::{DesiredState, ModelKey, from_uris},
    observation::SourceKey,
};

fn declared() -> DesiredState {
    let source = crds::ModelSource { builtin: Some("starter".into()), ..crds::ModelSource::default() };
    let model = crate::assign::DesiredModel {
        key: ModelKey::new("default", "street"),
        spec: crds::DetectionModelSpec::new(source),
    };
    from_uris(&["test://gate".to_owned()], model, std::path::Path::new("/")).state
}

fn key(name: &str) -> SourceKey {
    SourceKey::new("default", name)
}

fn sources(bodies: &[Value]) -> Made {
    let sources = bodies.iter().map(made).map(|source| (source.key.clone(), Arc::new(source))).collect();
    Made { sources, models: std::collections::BTreeMap::new() }
}

#[test]
fn the_declared_one_wins_and_the_other_is_told_of() {
    let made = sources(&[
        json!({"id": "gate", "uri": "test://smpte", "model": "street"}),
        json!({"id": "yard", "uri": "test://smpte", "model": "street"}),
        json!({"id": "idle", "uri": "test://smpte", "model": "street", "enabled": false}),
    ]);
    let merged = merge(&declared(), &made);
    assert_eq!(merged.state.sources[&key("gate")].input.uri.as_str(), "test://gate");
    assert_eq!(merged.shadowed_sources, [key("gate")].into());
    assert_eq!(merged.sources[&key("gate")], Origin::File);
    assert_eq!(merged.sources[&key("yard")], Origin::Rest);
    assert!(merged.state.disabled.contains(&key("idle")) && !merged.state.sources.contains_key(&key("idle")));
    assert_eq!(merged.state.specs.len(), 3);
}

#[test]
fn one_that_cannot_run_is_told_of_and_the_others_run() {
    let made = sources(&[
        json!({"id": "a", "uri": "test://smpte", "model": "gone"}),
        json!({"id": "b", "uri": "test://smpte", "model": "starter"}),
    ]);
    let merged = merge(&declared(), &made);
    assert!(merged.stuck[&key("a")].contains("default/gone"));
    assert!(!merged.state.sources.contains_key(&key("a")));
    assert!(merged.state.sources.contains_key(&key("b")));
    assert_eq!(merged.models[&ModelKey::new("default", "starter")], Origin::Builtin);
}

#[test]
fn a_source_that_names_no_model_gets_the_only_one() {
    assert_eq!(&*merge(&declared(), &Made::default()).default_model("default"), "street");
    assert_eq!(&*merge(&declared(), &Made::default()).default_model("shop"), "starter");
    assert_eq!(&*Merged::default().default_model("default"), "starter");
}

#[test]
fn nothing_made_leaves_what_is_declared_as_it_is() {
    assert_eq!(merge(&declared(), &Made::default()).state, declared());
}
