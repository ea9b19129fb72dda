//! Text to YAML documents whose values know their lines. JSON is YAML.

use std::{collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};
use serde_yaml::{Location, Spanned};

use super::error::is_quotable;

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Located>),
    Map(Vec<Field>),
}

/// A value and its line in the file, from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Located {
    pub(crate) line: u64,
    pub(crate) node: Node,
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// The line of the name; a nested value begins below it.
    pub(crate) line: u64,
    pub(crate) value: Located,
}

/// A document that is not YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) line: Option<u64>,
    pub(crate) message: String,
}

impl Located {
    /// A document that came without lines.
    pub(crate) fn from_json(value: &Value) -> Self {
        let node = match value {
            Value::Null => Node::Null,
            Value::Bool(bool) => Node::Bool(*bool),
            Value::Number(number) => Node::Number(number.clone()),
            Value::String(text) => Node::Text(text.clone()),
            Value::Array(items) => Node::List(items.iter().map(Self::from_json).collect()),
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| Field {
                    name: name.clone(),
                    line: 1,
                    value: Self::from_json(value),
                };
                Node::Map(fields.iter().map(field).collect())
            }
        };
        Self { line: 1, node }
    }

    /// The value of a field of this map.
    pub(crate) fn get(&self, name: &str) -> Option<&Field> {
        match &self.node {
            Node::Map(fields) => fields.iter().find(|field| field.name == name),
            _ => None,
        }
    }

    /// The text of a field of this map.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name)?.value.node {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The line of the field at `path`, or of the last one on the way that exists.
    pub(crate) fn line_of(&self, path: &str) -> u64 {
        let mut here = self;
        let mut line = self.line;
        for step in path.split(['.', '[']) {
            match (&here.node, step.strip_suffix(']').and_then(|index| index.parse::<usize>().ok())) {
                (Node::List(items), Some(index)) => match items.get(index) {
                    Some(item) => (here, line) = (item, item.line),
                    None => break,
                },
                _ => match here.get(step) {
                    Some(field) => (here, line) = (&field.value, field.line),
                    None => break,
                },
            }
        }
        line
    }

    /// Without nulls, which mean absent, and without what lies at the paths in `left_out`.
    pub(crate) fn to_json(&self, path: &str, left_out: &BTreeSet<String>) -> Option<Value> {
        if left_out.contains(path) {
            return None;
        }
        Some(match &self.node {
            Node::Null => return None,
            Node::Bool(bool) => Value::Bool(*bool),
            Node::Number(number) => Value::Number(number.clone()),
            Node::Text(text) => Value::String(text.clone()),
            Node::List(items) => {
                let items = items.iter().enumerate();
                items.filter_map(|(index, item)| item.to_json(&format!("{path}[{index}]"), left_out)).collect()
            }
            Node::Map(fields) => {
                let fields = fields.iter().filter_map(|field| {
                    let value = field.value.to_json(&join(path, &field.name), left_out)?;
                    Some((field.name.clone(), value))
                });
                Value::Object(fields.collect())
            }
        })
    }

    fn move_down(&mut self, lines: u64) {
        self.line += lines;
        match &mut self.node {
            Node::List(items) => items.iter_mut().for_each(|item| item.move_down(lines)),
            Node::Map(fields) => {
                for field in fields {
                    field.line += lines;
                    field.value.move_down(lines);
                }
            }
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {}
        }
    }
}

/// The path of a field.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Every document of a file that is not empty. One that is not YAML leaves the others alone.
pub(crate) fn parse(text: &str) -> Vec<Result<Located, SyntaxError>> {
    let mut documents = Vec::new();
    for (first_line, part) in split(text) {
        // Snippets are off: they would quote the file, and with it its secrets.
        let options = serde_yaml::options! { with_snippet: false };
        match serde_yaml::from_multiple_with_options::<Spanned<Node>>(part, options) {
            Ok(nodes) => documents.extend(nodes.into_iter().map(Located::from).filter_map(|mut document| {
                document.move_down(first_line);
                (document.node != Node::Null).then_some(Ok(document))
            })),
            Err(error) => documents.push(Err(describe(&error, first_line, part))),
        }
    }
    documents
}

/// The parts between `---` lines, with the number of lines before each. These markers cannot stand in a value: at the
/// start of a line they end the document wherever they are.
fn split(text: &str) -> Vec<(u64, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut first_line) = (0, 0);
    let (mut offset, mut line) = (0, 0);
    // Directives and comments before a marker belong to the document behind it.
    let mut has_content = false;
    for full in text.split_inclusive('\n') {
        let marker =
            full.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker && has_content {
            parts.push((first_line, &text[start..offset]));
            (start, first_line) = (offset, line);
        }
        let trimmed = full.trim_start();
        has_content = marker || (has_content || !(trimmed.is_empty() || trimmed.starts_with(['#', '%'])));
        offset += full.len();
        line += 1;
    }
    parts.push((first_line, &text[start..]));
    parts
}

fn describe(error: &serde_yaml::Error, first_line: u64, part: &str) -> SyntaxError {
    let line = error.location().filter(|location| *location != Location::UNKNOWN);
    // The parser's messages name characters, numbers and keys; of a Secret none of these may be shown.
    let detail = match error.without_snippet() {
        _ if part.contains("Secret") => " (no details, because it may be a Secret)".to_owned(),
        serde_yaml::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().filter(|key| is_quotable(key)).unwrap_or("a key");
            format!(": {key} comes twice")
        }
        error => {
            let options =
                serde_yaml::render_options! { line_offset: first_line, snippets: serde_yaml::SnippetMode::Off };
            format!(": {}", error.render_with_options(options).replace('\n', " "))
        }
    };
    SyntaxError {
        line: line.map(|location| location.line() + first_line),
        message: format!("is not valid YAML{detail}"),
    }
}

impl From<Spanned<Node>> for Located {
    fn from(spanned: Spanned<Node>) -> Self {
        Self { line: spanned.referenced.line(), node: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, bool: bool) -> Result<Node, E> {
        Ok(Node::Bool(bool))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        Number::from_f64(number).map(Node::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Node>>()? {
            list.push(item.into());
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value::<Spanned<Node>>()?.into();
            map.push(Field { line: key.referenced.line(), name: key.value, value });
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_lines_over_documents() {
        let text = "# first\n---\na: 1\nb:\n  - c: x\n  - d:\n      e: y\n---\n# second\nf: true\n";
        let documents: Vec<Located> = parse(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].line_of("a"), 3);
        assert_eq!(documents[0].line_of("b"), 4);
        assert_eq!(documents[0].line_of("b[0].c"), 5);
        assert_eq!(documents[0].line_of("b[1].d.e"), 7);
        assert_eq!(documents[0].line_of("b[1].d.missing"), 6);
        assert_eq!(documents[1].line_of("f"), 10);
    }

    #[test]
    fn one_broken_document_leaves_the_others_alone() {
        let documents = parse("a: 1\n---\nb: [1\n---\nc: 3\n");
        assert_eq!(documents.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        let error = documents[1].clone().unwrap_err();
        assert!((3..=4).contains(&error.line.unwrap()), "{error:?}");
    }

    #[test]
    fn empty_documents_are_left_out() {
        for text in ["", "\n", "# nothing\n", "---\n---\n", "---\n# nothing\n---\n~\n"] {
            assert_eq!(parse(text), [], "{text:?}");
        }
    }

    #[test]
    fn reads_json_and_directives() {
        let json = "{\n\t\"a\": {\"b\": [1, 2.5, \"x\", null, true]}\n}\n";
        let document = parse(json).remove(0).unwrap();
        assert_eq!(
            document.to_json("", &BTreeSet::new()).unwrap(),
            serde_json::json!({"a": {"b": [1, 2.5, "x", true]}})
        );
        assert_eq!(parse("%YAML 1.2\n---\na: 1\n...\n").len(), 1);
    }

    #[test]
    fn duplicate_keys_and_bombs_are_errors() {
        assert!(parse("a: 1\na: 2\n")[0].is_err());
        let level = |level: usize| format!("a{}: &a{0} [{}]", level + 1, vec![format!("*a{level}"); 10].join(", "));
        let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned()];
        bomb.extend((0..11).map(level));
        assert!(parse(&bomb.join("\n"))[0].is_err());
    }

    #[test]
    fn nothing_of_a_broken_secret_is_quoted() {
        let error = parse("kind: Secret\nstringData:\n  password: \"hunter2\n").remove(0).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error:?}");
        let error = parse("kind: Secret\nhunter2: 1\nhunter2: 1\n").remove(0).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error:?}");
    }

    proptest! {
        #[test]
        fn never_panics(text in "([-a: \n\t\"'{}\\[\\],&*!|>%#~.0-9]|---\n){0,60}|\\PC{0,60}") {
            for document in parse(&text).into_iter().flatten() {
                prop_assert!(document.line >= 1);
            }
        }

        #[test]
        fn split_loses_nothing(text in "([a#%\n ]|---\n|--- a\n|---x){0,40}") {
            let parts = split(&text);
            prop_assert_eq!(parts.iter().map(|(_, part)| *part).collect::<String>(), text.clone());
            for (first_line, part) in parts {
                let start = part.as_ptr() as usize - text.as_ptr() as usize;
                prop_assert_eq!(text[..start].matches('\n').count() as u64, first_line);
            }
        }
    }
}
