//! What is exposed, against the snapshots and the documentation.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gpu_telemetry::GpuReading;
use prometheus::proto::LabelPair;

use super::*;
use crate::{
    assign::ModelKey,
    observation::SourceKey,
    source::{Failure, Reason},
    telemetry::{DropReason, Memory, Stage, StreamState, gpus::GpuReadings, test_support::model_info},
};

/// A pod with a source and a model, about which everything is known.
fn filled() -> Telemetry {
    let telemetry = Telemetry::default();
    let (model, key) = (model_info("starter", &["person", "car", "truck"]), ModelKey::new("shop", "starter"));
    telemetry.models().keep(&[(key.clone(), None)].into());
    telemetry.models().count_failed(&key, "FetchFailed");
    telemetry.models().count_loaded(&key, &model, Duration::from_millis(120));
    let stream = telemetry.add_source(&SourceKey::new("shop", "gate"));
    stream.set_state(StreamState::Streaming);
    stream.count_attempt();
    stream.set_last_failure(Failure::new(Reason::HostUnreachable, "connection refused"));
    stream.count_attempt();
    for _ in 0..3 {
        stream.count_received(1000);
    }
    stream.count_decoded();
    stream.count_decoded();
    stream.count_dropped(DropReason::Superseded, 1);
    stream.add_stage(Stage::Infer, Duration::from_millis(12));
    stream.set_model(&model);
    stream.count_objects([(0, 0.91), (0, 0.42), (2, 0.5)].into_iter());
    stream.count_processed(3, Duration::from_millis(50));
    stream.count_processed(0, Duration::from_mins(2));
    telemetry.add_output("standard output");
    telemetry.add_output("/var/log/observations.jsonl").set_trouble(Some("No space left on device".to_owned()));
    telemetry
}

fn process() -> ProcessFigures {
    ProcessFigures {
        uptime: Duration::from_mins(1),
        cpu: Duration::from_millis(1500),
        memory: Some(Memory { resident: 2_000_000, proportional: 1_500_000 }),
        threads: Some(12),
        open_files: Some(34),
    }
}

fn control_group() -> ControlGroup {
    ControlGroup {
        memory: Some(3_000_000),
        memory_limit: Some(1 << 30),
        cpu_seconds: Some(1.75),
        cpu_limit: Some(1.5),
        cpu_periods: Some(40),
        cpu_throttled_periods: Some(3),
        cpu_throttled_seconds: Some(0.25),
    }
}

fn gpus() -> GpuReadings {
    let gpu = GpuReading {
        index: 0,
        uuid: "GPU-1a2b".to_owned(),
        name: Some("NVIDIA H100".to_owned()),
        utilization: Some(0.42),
        encoder_utilization: Some(0.0),
        decoder_utilization: Some(0.99),
        memory_used: Some(5 << 30),
        memory_total: Some(80 << 30),
        temperature: Some(61),
    };
    // A part of a GPU has memory, and no utilisation of its own.
    let part = GpuReading {
        index: 1,
        uuid: "MIG-3c4d".to_owned(),
        utilization: None,
        decoder_utilization: None,
        ..gpu.clone()
    };
    GpuReadings { driver: Some("570.1".to_owned()), gpus: vec![gpu, part] }
}

/// Every family that there can be.
fn everything() -> Vec<MetricFamily> {
    let mut families = of_the_pod(&filled());
    families.extend(machine::process(&process()));
    families.extend(machine::control_group(&control_group()));
    families.extend(machine::gpus(&gpus()));
    families
}

#[test]
fn exposition_of_a_source() {
    insta::assert_snapshot!(encode(&streams::families(&filled())).unwrap());
}

#[test]
fn exposition_of_a_model() {
    insta::assert_snapshot!(encode(&models::families(&filled())).unwrap());
}

#[test]
fn exposition_of_the_outputs() {
    insta::assert_snapshot!(encode(&[outputs(&filled())]).unwrap());
}

#[test]
fn exposition_of_the_machine() {
    let mut families = machine::process(&process());
    families.extend(machine::control_group(&control_group()));
    families.extend(machine::gpus(&gpus()));
    insta::assert_snapshot!(encode(&families).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn what_is_not_there_is_not_exposed() {
    let mut families = machine::process(&ProcessFigures::default());
    families.extend(machine::control_group(&ControlGroup::default()));
    families.extend(machine::gpus(&GpuReadings::default()));
    let text = encode(&families).unwrap();
    assert!(!text.contains("gpu") && !text.contains("cgroup") && !text.contains("threads"), "{text}");
}

#[test]
fn the_series_of_a_source_vanish_with_it() {
    let telemetry = filled();
    telemetry.add_source(&SourceKey::new("shop", "yard"));
    telemetry.remove_source(&SourceKey::new("shop", "gate"));
    let text = encode_metrics(&telemetry).unwrap();
    assert!(text.contains("source=\"yard\"") && !text.contains("source=\"gate\""), "{text}");
    telemetry.remove_source(&SourceKey::new("shop", "yard"));
    assert!(!encode_metrics(&telemetry).unwrap().contains("source="));
}

#[test]
fn the_series_of_a_model_vanish_with_it() {
    let telemetry = filled();
    assert!(encode_metrics(&telemetry).unwrap().contains("vision_pod_object_confidence_bucket"));
    telemetry.remove_source(&SourceKey::new("shop", "gate"));
    telemetry.models().keep(&std::collections::BTreeMap::new());
    assert!(!encode_metrics(&telemetry).unwrap().contains("model="));
}

#[test]
fn a_model_with_many_classes_makes_few_series() {
    let telemetry = Telemetry::default();
    let names: Vec<String> = (0..1200).map(|number| format!("class {number}")).collect();
    let labels: Vec<&str> = names.iter().map(String::as_str).collect();
    let (model, key) = (model_info("wide", &labels), ModelKey::new("shop", "wide"));
    telemetry.models().keep(&[(key, Some(Arc::clone(&model)))].into());
    let stream = telemetry.add_source(&SourceKey::new("shop", "gate"));
    stream.set_model(&model);
    stream.count_objects((0..1200).map(|class| (class, 0.5)));
    let text = encode_metrics(&telemetry).unwrap();
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(series("vision_pod_objects_total{"), 81);
    assert_eq!(series("vision_pod_object_confidence_count{"), 81);
    assert!(text.contains(r#"vision_pod_objects_total{namespace="shop",source="gate",class="other"} 1120"#), "{text}");
}

/// Name, kind and labels of each metric as the documentation has them.
fn documented() -> BTreeSet<(String, String, String)> {
    let text = include_str!("../../../../docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `vision_pod_"));
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
        (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap())
    };
    rows.map(row).collect()
}

#[test]
fn the_documentation_lists_every_metric_and_no_other() {
    let exposed = everything().into_iter().map(|family| {
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let metric = family.get_metric().first().unwrap_or_else(|| panic!("{} is empty", family.name()));
        let labels: Vec<&str> = metric.get_label().iter().map(LabelPair::name).collect();
        (family.name().to_owned(), kind, labels.join(", "))
    });
    let (exposed, documented) = (exposed.collect::<BTreeSet<_>>(), documented());
    let missing: Vec<_> = exposed.difference(&documented).collect();
    let surplus: Vec<_> = documented.difference(&exposed).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "not in docs/metrics.md: {missing:?}; only there: {surplus:?}");
}
