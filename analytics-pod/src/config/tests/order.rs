//! What holds of layers whatever they say.

use std::collections::BTreeMap;

use proptest::{collection, prelude::*};

use super::*;
use crate::{
    assign::document::Located,
    config::layer::{Settings, lay_over, nested, settings_of},
};

/// Keys that have no alternative.
fn plain_keys() -> Vec<&'static str> {
    let alternatives = ["detection.fps", "detection.interval"];
    keys().iter().map(|key| key.path.as_str()).filter(|path| !alternatives.contains(path)).collect()
}

/// What a layer says of some keys; `None`: null.
fn said() -> impl Strategy<Value = BTreeMap<&'static str, Option<u32>>> {
    collection::btree_map(prop::sample::select(plain_keys()), proptest::option::of(any::<u32>()), 0..8)
}

fn layer(said: &BTreeMap<&'static str, Option<u32>>, number: u64) -> Settings {
    let document = nested(said.iter().map(|(path, value)| (*path, json!(value))));
    settings_of(&Located::from_json(&document), None, |_| Origin::Profile { name: "layer", line: number })
}

proptest! {
    #[test]
    fn the_last_layer_that_says_something_of_a_key_counts(layers in collection::vec(said(), 1..6)) {
        let made = layers.iter().enumerate().map(|(number, said)| layer(said, number as u64));
        let together = made.fold(Settings::new(), lay_over);
        for path in plain_keys() {
            let last = layers.iter().enumerate().rev().find_map(|(number, said)| Some((number, said.get(path)?)));
            let found = together.get(path).map(|setting| (setting.origin.clone(), setting.json()));
            let expected = last.map(|(number, value)| {
                (Origin::Profile { name: "layer", line: number as u64 }, json!(value))
            });
            prop_assert_eq!(found, expected, "{}", path);
        }
    }

    #[test]
    fn how_layers_are_bracketed_does_not_matter(a in said(), b in said(), c in said()) {
        let (a, b, c) = (layer(&a, 1), layer(&b, 2), layer(&c, 3));
        let left = lay_over(lay_over(a.clone(), b.clone()), c.clone());
        prop_assert_eq!(left, lay_over(a, lay_over(b, c)));
    }

    #[test]
    fn a_document_is_what_its_settings_are(said in said()) {
        let settings = layer(&said, 1);
        let document = nested(settings.iter().map(|(path, setting)| (path.as_str(), setting.json())));
        prop_assert_eq!(settings_of(&Located::from_json(&document), None, |line| Origin::Profile { name: "layer", line }), settings);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "([-a-z: \n'{}\\[\\],0-9]|extends: |log:\n|detection: )|\\PC{0,60}") {
        let folder = folder(&[("pod.yaml", &text)]);
        let _ = read(&folder.path().join("pod.yaml"));
    }

    #[test]
    fn no_variable_makes_reading_panic(index in any::<prop::sample::Index>(), text in "\\PC{0,40}") {
        let key = index.get(keys());
        let _ = with_environment(&[(key.variable.as_str(), text.as_str())]);
    }
}
