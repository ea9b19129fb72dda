//! The queries of URIs that are read here rather than by a server.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use url::Url;

use super::{Failure, Reason, printable_uri};

/// Parameters of an input. Unlike the queries that cameras get they hold no secrets.
pub(super) struct Parameters<'a> {
    uri: &'a Url,
}

impl<'a> Parameters<'a> {
    /// The parameters of `uri`, each of them one of `known`.
    pub(super) fn new(uri: &'a Url, known: &[&str]) -> Result<Self, Failure> {
        match uri.query_pairs().find(|(name, _)| !known.contains(&name.as_ref())) {
            None => Ok(Self { uri }),
            Some((name, _)) => {
                Err(Self { uri }.refuse(&format!("has no parameter {name}; there are {}", known.join(", "))))
            }
        }
    }

    /// The text called `name`, if it is given and not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.uri.query_pairs().find(|(key, _)| key == name)?;
        (!value.is_empty()).then(|| value.into_owned())
    }

    /// The number called `name`, if it is given.
    pub(super) fn number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        range: &RangeInclusive<T>,
    ) -> Result<Option<T>, Failure> {
        let Some((_, value)) = self.uri.query_pairs().find(|(key, _)| key == name) else { return Ok(None) };
        match value.parse().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.refuse(&format!(
                "the parameter {name} is not a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// `name`, an even number of pixels.
    pub(super) fn pixels(&self, name: &str, default: u32) -> Result<u32, Failure> {
        let pixels = self.number(name, &(64..=7680))?.unwrap_or(default);
        if pixels % 2 == 0 { Ok(pixels) } else { Err(self.refuse(&format!("the parameter {name} must be even"))) }
    }

    /// A failure for a person to correct the URI.
    pub(super) fn refuse(&self, what: &str) -> Failure {
        Failure::new(Reason::Unsupported, format!("{}: {what}", printable_uri(self.uri)))
    }
}
