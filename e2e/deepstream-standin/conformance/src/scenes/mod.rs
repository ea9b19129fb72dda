//! The scenes by their names.

mod libraries;
mod running;

use serde_json::json;

use crate::pipeline::{Pipeline, say};

/// Plays the scene.
pub(crate) fn play(name: &str, arguments: &[String]) {
    match (name, arguments) {
        ("launch", [description]) => Pipeline::new(description).run(),
        ("inspect", [element]) => running::inspect(element),
        ("version", []) => libraries::version(),
        ("quark", []) => libraries::quark(),
        ("pools", []) => libraries::pools(),
        ("copies", []) => libraries::copies(),
        ("events", []) => libraries::events(),
        ("types", []) => libraries::types(),
        ("surface", [description]) => running::surface(description),
        ("property", [description, element, property, value]) => {
            running::property(description, element, property, value);
        }
        ("without-pad-added", [description]) => running::without_pad_added(description),
        ("interval", [description, interval]) => running::interval(description, interval.parse().unwrap()),
        ("release", [description, order]) => running::release(description, order),
        ("camera", [description, milliseconds]) => running::camera(description, milliseconds.parse().unwrap()),
        ("cycles", [description, source, count]) => running::cycles(description, source, count.parse().unwrap()),
        ("reuse", [description]) => running::reuse(description),
        ("stalled", [description, milliseconds]) => running::stalled(description, milliseconds.parse().unwrap()),
        _ => panic!("no scene {name} with {arguments:?}"),
    }
    say("done", json!(null));
}
