//! Versions of DeepStream.

use std::{fmt, str::FromStr};

/// A version of DeepStream, without what follows the second number: it changes no interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl Version {
    /// A version from its two numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// From the text of the file `version` in DeepStream's folder (`Version: 6.0.0`).
    #[must_use]
    pub fn from_file(text: &str) -> Option<Self> {
        text.lines().find_map(|line| line.trim().strip_prefix("Version:")?.parse().ok())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that does not begin with two numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version of DeepStream: two numbers are expected, such as 7.1")]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;

    /// Two numbers with a point between them; what follows after another point, a blank or a hyphen is passed over.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || VersionError(text.trim().chars().take(32).collect());
        let mut parts = text.trim().split(['.', '-', ' ']);
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        let (major, minor) = number().zip(number()).ok_or_else(refused)?;
        Ok(Self { major, minor })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_written() {
        for (text, version) in
            [("7.1", Version::new(7, 1)), ("6.0.1", Version::new(6, 0)), (" 9.1.0-1\n", Version::new(9, 1))]
        {
            assert_eq!(text.parse::<Version>().unwrap(), version);
        }
        for text in ["", "7", "seven.one", "7.x", "-1.2"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_file_names_the_version_in_one_of_its_lines() {
        assert_eq!(Version::from_file("Version: 6.0.0\nDATE: Thu Nov  4 2021\n"), Some(Version::new(6, 0)));
        assert_eq!(Version::from_file("DATE: today\n"), None);
    }
}
