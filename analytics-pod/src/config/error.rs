//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;

use super::layer::Origin;
use crate::assign::{ManifestError, rest::FieldError};

/// One thing that is wrong. Quotes no URI and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Where it stands.
    pub origin: Origin,
    /// The key (`log.level`); empty: the whole file.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl From<ManifestError> for ConfigError {
    fn from(error: ManifestError) -> Self {
        let object = error.object.map(|object| format!("{object}: ")).unwrap_or_default();
        Self {
            origin: Origin::of_place(&error.file, error.line),
            field: format!("{object}{}", error.field),
            problem: error.problem,
            remedy: error.remedy.unwrap_or_default(),
        }
    }
}

impl From<ConfigError> for FieldError {
    fn from(error: ConfigError) -> Self {
        Self { field: error.field, problem: error.problem, remedy: Some(error.remedy) }
    }
}

/// Everything that is wrong with a configuration, each on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
