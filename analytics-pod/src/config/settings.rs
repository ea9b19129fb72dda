//! All layers over one another: the values in force, their types, and where each is from.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    environment,
    error::{ConfigError, ConfigErrors},
    files,
    keys::keys,
    layer::{Flag, Origin, Setting, Settings, lay_over, nested, settings_of},
    rules, shape,
    types::Config,
};
use crate::assign::{
    DesiredModel, Kind, List, Listed,
    document::{Located, Node},
    strict,
};

/// Where a configuration is read from, again and again.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    file: Option<PathBuf>,
    profile: Option<(String, Origin)>,
    environment: Vec<(String, String)>,
    flags: Vec<Flag>,
}

impl Inputs {
    /// `file` and `profile` are those of the command line; without them `VISION_CONFIG` and `VISION_PROFILE` of
    /// `environment` count.
    #[must_use]
    pub fn new(
        file: Option<PathBuf>,
        profile: Option<String>,
        environment: Vec<(String, String)>,
        flags: Vec<Flag>,
    ) -> Self {
        let variable = |name: &str| {
            let found = environment.iter().find(|(variable, value)| variable == name && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        let by_flag = profile.map(|profile| (profile, Origin::Flag { flag: "--profile" }));
        let by_variable =
            || Some((variable("VISION_PROFILE")?, Origin::Environment { variable: "VISION_PROFILE".to_owned() }));
        let file = file.or_else(|| variable("VISION_CONFIG").map(PathBuf::from));
        let profile = by_flag.or_else(by_variable);
        Self { file, profile, environment, flags }
    }

    /// The variables of this process; those that are not UTF-8 are left out.
    #[must_use]
    pub fn process_environment() -> Vec<(String, String)> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        env::vars_os().filter_map(text).collect()
    }

    /// The file, where there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the files and lays environment and flags over them.
    ///
    /// # Errors
    /// Everything that is wrong, in the layer that has the first error.
    pub fn read(&self) -> Result<Effective, ConfigErrors> {
        let profile = self.profile.as_ref().map(|(name, origin)| (name.as_str(), origin.clone()));
        let written = files::read(self.file.as_deref(), profile)?;
        let environment = environment::read(&self.environment);
        if !environment.errors.is_empty() {
            return Err(ConfigErrors(environment.errors));
        }
        let settings = lay_over(lay_over(written, environment.settings), self.flags()?);
        let mut effective = Effective::of(settings)?;
        effective.unknown_variables = environment.unknown;
        Ok(effective)
    }

    fn flags(&self) -> Result<Settings, ConfigErrors> {
        let (mut settings, mut errors) = (Settings::new(), Vec::new());
        for Flag { flag, key, value } in &self.flags {
            let (origin, value) = (Origin::Flag { flag }, Located::from_json(value));
            errors.extend(strict::check(shape::of_key(key), &value, false).into_iter().map(|found| ConfigError {
                origin: origin.clone(),
                field: String::new(),
                problem: found.message,
                remedy: found.remedy,
            }));
            settings.insert((*key).to_owned(), Setting { origin, value, folder: None });
        }
        if errors.is_empty() { Ok(settings) } else { Err(ConfigErrors(errors)) }
    }
}

/// The values in force.
#[derive(Clone, Debug)]
pub struct Effective {
    /// With their types.
    pub config: Arc<Config>,
    /// Variables that look like a key's and are none, with the remedy.
    pub unknown_variables: Vec<(String, String)>,
    settings: Settings,
}

impl Effective {
    /// # Errors
    /// Every rule that a value breaks.
    pub(super) fn of(settings: Settings) -> Result<Self, ConfigErrors> {
        let errors = rules::check(&settings, &files::read(None, None)?);
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let document = nested(settings.iter().map(|(path, setting)| (path.as_str(), setting.json())));
        match serde_json::from_value(document) {
            Ok(config) => Ok(Self { config: Arc::new(config), unknown_variables: Vec::new(), settings }),
            // What schema and rules let through has its type; a text of this program's own is wrong else.
            Err(error) => Err(ConfigErrors(vec![ConfigError {
                origin: Origin::Profile { name: files::DEFAULT_PROFILE, line: 1 },
                field: String::new(),
                problem: error.to_string(),
                remedy: "look at the schema (`analytics-pod config schema`)".to_owned(),
            }])),
        }
    }

    /// With what requests say over it.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(super) fn under(&self, requested: &Value) -> Result<Self, ConfigErrors> {
        let above = settings_of(&Located::from_json(requested), None, |_| Origin::Rest);
        let mut effective = Self::of(lay_over(self.settings.clone(), above))?;
        effective.unknown_variables.clone_from(&self.unknown_variables);
        Ok(effective)
    }

    /// As it is, but with the values of `other` for the keys that are `wanted`.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(super) fn with(&self, other: &Self, wanted: impl Fn(&str) -> bool) -> Result<Self, ConfigErrors> {
        let taken = other.settings.iter().filter(|(path, _)| wanted(path));
        let above = taken.map(|(path, setting)| (path.clone(), setting.clone())).collect();
        Self::of(lay_over(self.settings.clone(), above))
    }

    /// The value of a key as JSON; null where there is none.
    #[must_use]
    pub fn value(&self, path: &str) -> Value {
        self.settings.get(path).map(Setting::json).unwrap_or_default()
    }

    /// Where the value of a key is from.
    #[must_use]
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.settings.get(path).map(|setting| &setting.origin)
    }

    /// Whether nobody has said anything of the key: its value is the default profile's.
    #[must_use]
    pub fn is_default(&self, path: &str) -> bool {
        matches!(self.origin(path), Some(Origin::Profile { name: files::DEFAULT_PROFILE, .. }))
    }

    /// The keys whose values differ from those of `other`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        keys().iter().map(|key| key.path.as_str()).filter(|path| self.value(path) != other.value(path)).collect()
    }

    /// Whether sources are listed.
    #[must_use]
    pub fn has_sources(&self) -> bool {
        !self.config.sources.is_empty()
    }

    /// The sources and models that are listed; a source that names no model gets `default_model`.
    ///
    /// # Errors
    /// Everything that is wrong with an entry.
    pub fn listed(&self, default_model: Option<Arc<DesiredModel>>) -> Result<Listed, ConfigErrors> {
        let here = env::current_dir().map_err(|error| cannot_start(&error))?;
        let lists = [("models", Kind::DetectionModel), ("sources", Kind::VideoSource)];
        let found: Vec<_> = lists
            .into_iter()
            .filter_map(|(path, kind)| {
                let setting = self.settings.get(path)?;
                let Node::List(entries) = &setting.value.node else { return None };
                Some((kind, entries, setting.origin.as_file(), setting.folder.clone()))
            })
            .collect();
        let lists: Vec<List<'_>> = found
            .iter()
            .map(|(kind, entries, file, folder)| List {
                kind: *kind,
                entries,
                file,
                folder: folder.as_deref().unwrap_or(&here),
            })
            .collect();
        Listed::read(&lists, default_model)
            .map_err(|errors| ConfigErrors(errors.into_iter().map(ConfigError::from).collect()))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }
}

fn cannot_start(error: &io::Error) -> ConfigErrors {
    ConfigErrors(vec![ConfigError {
        origin: Origin::File { file: ".".to_owned(), line: None },
        field: String::new(),
        problem: format!("the working folder cannot be told: {error}"),
        remedy: "start it in a folder that exists".to_owned(),
    }])
}
