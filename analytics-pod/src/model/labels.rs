//! Class names: the ones everybody means, and those that exporters write into the file.

use std::{collections::BTreeMap, sync::Arc};

/// The 80 classes of COCO in the order that detectors use.
pub(super) const COCO: [&str; 80] = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
];

/// The names in Ultralytics' `names` metadata: a Python dictionary such as `{0: 'person', 1: "driver's licence"}`, or
/// a JSON object or list. `None` where it is anything else or an index is missing.
pub(super) fn parse_names(text: &str) -> Option<Arc<[Arc<str>]>> {
    let by_index: BTreeMap<usize, String> = if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
        list.into_iter().enumerate().collect()
    } else if let Ok(map) = serde_json::from_str::<BTreeMap<String, String>>(text) {
        map.into_iter().map(|(index, name)| Some((index.parse().ok()?, name))).collect::<Option<_>>()?
    } else {
        parse_python(text)?
    };
    let complete = !by_index.is_empty() && by_index.keys().copied().eq(0..by_index.len());
    complete.then(|| by_index.into_values().map(Arc::from).collect())
}

fn parse_python(text: &str) -> Option<BTreeMap<usize, String>> {
    let text = text.trim();
    let (is_map, mut rest) = match text.strip_prefix('{') {
        Some(rest) => (true, rest.strip_suffix('}')?),
        None => (false, text.strip_prefix('[')?.strip_suffix(']')?),
    };
    let mut names = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(names);
        }
        let index = if is_map {
            let (index, after) = rest.split_once(':')?;
            rest = after.trim_start();
            index.trim().parse().ok()?
        } else {
            names.len()
        };
        let (name, after) = python_string(rest)?;
        names.insert(index, name);
        rest = after.trim_start();
        rest = rest.strip_prefix(',').or_else(|| rest.is_empty().then_some(rest))?;
    }
}

/// A quoted Python string at the start of `text`, and what follows it.
fn python_string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            _ if character == quote => return Some((name, &text[at + 1..])),
            _ => name.push(character),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Option<Vec<String>> {
        Some(parse_names(text)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_the_forms_that_exporters_write() {
        let expected = Some(vec!["person".to_owned(), "driver's licence".to_owned()]);
        for text in [
            r#"{0: 'person', 1: "driver's licence"}"#,
            r"{0: 'person', 1: 'driver\'s licence'}",
            r#"{1: "driver's licence", 0: 'person',}"#,
            r#"{"0": "person", "1": "driver's licence"}"#,
            r#"["person", "driver's licence"]"#,
            r#"['person', "driver's licence"]"#,
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_incomplete() {
        for text in ["", "{}", "[]", "{0: 'a', 2: 'b'}", "{0: 'a'", "{0: a}", "{0: 'a' 1: 'b'}", "{x: 'a'}", "['a"] {
            assert_eq!(names(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*", body in "[0-9: ,'\"\\\\a{}é]*") {
            let _ = parse_names(&text);
            let _ = parse_names(&format!("{{{body}}}"));
        }

        #[test]
        fn reads_back_what_python_prints(expected in prop::collection::vec("[^'\\\\]{1,12}", 1..20)) {
            let body: Vec<String> = expected.iter().enumerate().map(|(at, name)| format!("{at}: '{name}'")).collect();
            prop_assert_eq!(names(&format!("{{{}}}", body.join(", "))), Some(expected));
        }
    }
}
