//! Profiles and files: which builds on which, read from the disk.

use std::{
    fs,
    path::{self, Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{ConfigError, ConfigErrors},
    layer::{Origin, Settings, lay_over, settings_of},
    shape,
};
use crate::{
    assign::{
        document::{Located, parse},
        strict::{check, suggest},
    },
    text_file,
};

/// The profile that everything builds on.
pub const DEFAULT_PROFILE: &str = "default";

/// The profiles that are part of the program, by name.
pub const PROFILES: [(&str, &str); 4] = [
    (DEFAULT_PROFILE, include_str!("../../../configs/default.yaml")),
    ("development", include_str!("../../../configs/development.yaml")),
    ("production", include_str!("../../../configs/production.yaml")),
    ("testing", include_str!("../../../configs/testing.yaml")),
];

/// Larger files are refused.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// A document of the chain.
struct Link {
    /// A built-in profile, or a file.
    source: Source,
    /// What it builds on, and the line that says so.
    extends: Option<(String, u64)>,
    settings: Settings,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Profile(&'static str, &'static str),
    /// As it was named, and the real one.
    File(PathBuf, PathBuf),
}

impl Source {
    fn origin(&self, line: u64) -> Origin {
        match self {
            Self::Profile(name, _) => Origin::Profile { name, line },
            Self::File(file, _) => Origin::File { file: file.display().to_string(), line: Some(line) },
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Profile(name, _) => (*name).to_owned(),
            Self::File(file, _) => file.display().to_string(),
        }
    }
}

/// What `file` says over what it builds on; without one, what `profile` says. A file that does not say what it builds
/// on builds on `profile`.
///
/// # Errors
/// Everything that is wrong with the first file of the chain that has errors.
pub(super) fn read(file: Option<&Path>, profile: Option<(&str, Origin)>) -> Result<Settings, ConfigErrors> {
    let (name, origin) = profile.unwrap_or((DEFAULT_PROFILE, Origin::Rest));
    let Some(base) = profile_named(name) else { return Err(ConfigErrors(vec![no_profile(name, origin)])) };
    let mut chain: Vec<Link> = Vec::new();
    let mut next = match file {
        Some(file) => Some(locate(file, file, &Origin::File { file: file.display().to_string(), line: None })?),
        None => Some(base.clone()),
    };
    while let Some(source) = next {
        if let Some(at) = chain.iter().position(|link| link.source == source) {
            return Err(ConfigErrors(vec![cycle(&chain, at)]));
        }
        let link = read_one(source)?;
        next = match (&link.extends, &link.source) {
            (Some((name, line)), source) => Some(base_of(source, name, *line)?),
            (None, Source::Profile(..)) => None,
            (None, Source::File(..)) => Some(base.clone()),
        };
        chain.push(link);
    }
    // The default profile names every key, so that every value has a place.
    let bottom = chain.last().is_some_and(|link| matches!(link.source, Source::Profile(DEFAULT_PROFILE, _)));
    if let (false, Some(default)) = (bottom, profile_named(DEFAULT_PROFILE)) {
        chain.push(read_one(default)?);
    }
    Ok(chain.into_iter().rev().fold(Settings::new(), |below, link| lay_over(below, link.settings)))
}

fn profile_named(name: &str) -> Option<Source> {
    PROFILES.iter().find(|(known, _)| *known == name).map(|(name, text)| Source::Profile(name, text))
}

fn no_profile(name: &str, origin: Origin) -> ConfigError {
    let problem = "is no built-in profile".to_owned();
    ConfigError { origin, field: String::new(), problem, remedy: suggest(name, &PROFILES.map(|(name, _)| name)) }
}

/// What the document `by` builds on.
fn base_of(by: &Source, name: &str, line: u64) -> Result<Source, ConfigErrors> {
    if let Some(profile) = profile_named(name) {
        return Ok(profile);
    }
    let origin = by.origin(line);
    let is_path = name.contains('/') || Path::new(name).extension().is_some();
    let Source::File(file, _) = by else { return Err(ConfigErrors(vec![no_profile(name, origin)])) };
    if !is_path {
        let mut error = no_profile(name, origin);
        "extends".clone_into(&mut error.field);
        error.remedy += ", or write the path of a file, as in ./base.yaml";
        return Err(ConfigErrors(vec![error]));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut located = locate(&folder.join(name), Path::new(name), &origin);
    if let Err(errors) = &mut located {
        errors.0.iter_mut().for_each(|error| "extends".clone_into(&mut error.field));
    }
    located
}

fn locate(file: &Path, named: &Path, origin: &Origin) -> Result<Source, ConfigErrors> {
    match fs::canonicalize(file) {
        Ok(real) => Ok(Source::File(file.to_owned(), real)),
        Err(error) => Err(ConfigErrors(vec![ConfigError {
            origin: origin.clone(),
            field: String::new(),
            problem: match origin {
                Origin::File { file, line: None } if Path::new(file) == named => format!("cannot be read: {error}"),
                _ => format!("{} cannot be read: {error}", named.display()),
            },
            remedy: "give the path of a readable YAML or JSON file".to_owned(),
        }])),
    }
}

fn cycle(chain: &[Link], at: usize) -> ConfigError {
    let names: Vec<String> = chain[at..].iter().chain(chain.get(at)).map(|link| link.source.name()).collect();
    let last = chain.last();
    let origin =
        last.map_or(Origin::Rest, |link| link.source.origin(link.extends.as_ref().map_or(1, |(_, line)| *line)));
    ConfigError {
        origin,
        field: "extends".to_owned(),
        problem: format!("goes round in a circle: {}", names.join(" extends ")),
        remedy: "let one of them extend nothing".to_owned(),
    }
}

fn read_one(source: Source) -> Result<Link, ConfigErrors> {
    let whole = |problem: String, remedy: &str, line: Option<u64>| {
        let origin = match (&source, line) {
            (Source::File(file, _), line) => Origin::File { file: file.display().to_string(), line },
            (Source::Profile(..), line) => source.origin(line.unwrap_or(1)),
        };
        ConfigErrors(vec![ConfigError { origin, field: String::new(), problem, remedy: remedy.to_owned() }])
    };
    let (text, folder) = match &source {
        Source::Profile(_, text) => ((*text).to_owned(), None),
        Source::File(file, _) => {
            let readable = "make it a readable YAML or JSON file of at most 8 MiB";
            let text = text_file::read(file, MAX_FILE_BYTES)
                .map_err(|error| whole(format!("cannot be read: {error}"), readable, None))?;
            let absolute = path::absolute(file).map_err(|error| whole(error.to_string(), readable, None))?;
            (text, absolute.parent().map(Arc::from))
        }
    };
    let mut documents = parse(&text);
    if documents.len() > 1 {
        let count = documents.len();
        return Err(whole(format!("has {count} documents"), "keep one, without --- between", None));
    }
    let document = match documents.pop() {
        Some(Ok(document)) => document,
        Some(Err(error)) => return Err(whole(error.message, "correct it", error.line)),
        // A file of comments says nothing.
        None => Located::from_json(&serde_json::json!({})),
    };
    let problems: Vec<ConfigError> = check(shape::of_files(), &document, false)
        .into_iter()
        .map(|found| ConfigError {
            origin: source.origin(found.line),
            field: found.field,
            problem: found.message,
            remedy: found.remedy,
        })
        .collect();
    if !problems.is_empty() {
        return Err(ConfigErrors(problems));
    }
    let line = document.get("extends").map_or(1, |field| field.line);
    let extends = document.text("extends").map(|name| (name.to_owned(), line));
    let settings = settings_of(&document, folder.as_ref(), |line| source.origin(line));
    Ok(Link { source, extends, settings })
}
