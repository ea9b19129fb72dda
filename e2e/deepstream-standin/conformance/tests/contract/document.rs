//! `CONTRACT.md` against what there is.

use std::{fs, path::Path};

/// Every file of tests and of code with tests.
fn sources() -> String {
    fn collect(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, text);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut text);
    text
}

/// The rows of the document's table of rules.
fn rows() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../CONTRACT.md");
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| line.starts_with("| R"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

#[test]
fn every_rule_of_the_contract_names_tests_that_exist() {
    let sources = sources();
    let rows = rows();
    assert!(rows.len() > 20, "{} rules", rows.len());
    for row in &rows {
        assert_eq!(row.len(), 6, "{row:?}");
        let [id, _, versions, evidence, tests, _] = &row[..] else { panic!("{row:?}") };
        assert!(!versions.is_empty() && !evidence.is_empty(), "{id}");
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{id} names no test");
        for name in names {
            assert!(sources.contains(&format!("fn {name}()")), "{id}: there is no test {name}");
        }
    }
}

#[test]
fn every_test_of_the_contract_is_named_by_a_rule() {
    let named: String = rows().into_iter().flatten().collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    for file in [
        "cameras.rs",
        "drawing.rs",
        "elements.rs",
        "inference.rs",
        "libraries.rs",
        "streams.rs",
        "tensors.rs",
        "tracking.rs",
    ] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        for part in text.split("#[test]\nfn ").skip(1) {
            let name = part.split('(').next().unwrap();
            assert!(named.contains(&format!("`{name}`")), "{file}: no rule names {name}");
        }
    }
}
