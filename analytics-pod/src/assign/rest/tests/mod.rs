#![allow(clippy::unwrap_used, clippy::panic)]

mod folder;
mod joined;
mod submitted;

use std::sync::Arc;

use serde_json::Value;

use super::*;

/// The source of a document that is good.
fn made(body: &Value) -> MadeSource {
    source_from(body, |_| "starter".into()).unwrap().0
}

/// `field problem; remedy` of everything that is wrong with a source.
fn wrong(body: &Value) -> Vec<String> {
    let errors = source_from(body, |_| "starter".into()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn starter(_: &str) -> Arc<str> {
    "starter".into()
}
