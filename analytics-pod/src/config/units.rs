//! Sizes and outputs as people write them.

use std::{borrow::Cow, fmt, path::PathBuf, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

/// Units of sizes, with the exponent of two.
const UNITS: [(&str, u32); 3] = [("KiB", 10), ("MiB", 20), ("GiB", 30)];

/// A number of bytes, written `512KiB`, `100MiB` or `2GiB`; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        UNITS
            .into_iter()
            .find_map(|(unit, shift)| {
                let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
                number.checked_mul(1 << shift)
            })
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no size like 512KiB, 100MiB or 2GiB"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^0*[1-9][0-9]{0,8} ?(KiB|MiB|GiB)$", "examples": ["512KiB", "100MiB", "2GiB"],
        })
    }
}

/// Where observations go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputTarget {
    /// Standard output, a JSON line each.
    Stdout,
    /// Nowhere.
    Nowhere,
    /// A file that is rotated, a JSON line each.
    File(PathBuf),
    /// A folder, a JSON file for each frame with objects.
    Frames(PathBuf),
}

impl FromStr for OutputTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.split_once(':')) {
            ("stdout", _) => Ok(Self::Stdout),
            ("none", _) => Ok(Self::Nowhere),
            (_, Some(("file", path))) if !path.is_empty() => Ok(Self::File(path.into())),
            (_, Some(("frames", folder))) if !folder.is_empty() => Ok(Self::Frames(folder.into())),
            _ => Err(format!("`{text}` is none of stdout, none, file:PATH and frames:FOLDER")),
        }
    }
}

impl fmt::Display for OutputTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::Nowhere => f.write_str("none"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Frames(folder) => write!(f, "frames:{}", folder.display()),
        }
    }
}

impl<'de> Deserialize<'de> for OutputTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for OutputTarget {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OutputTarget".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(stdout|none|file:.+|frames:.+)$",
            "examples": ["stdout", "none", "file:observations.jsonl", "frames:detections"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_and_written() {
        assert_eq!("stdout".parse(), Ok(OutputTarget::Stdout));
        assert_eq!("file:a:b.jsonl".parse(), Ok(OutputTarget::File("a:b.jsonl".into())));
        assert_eq!("frames:out".parse(), Ok(OutputTarget::Frames("out".into())));
        for text in ["stdout", "none", "file:a:b.jsonl", "frames:out"] {
            assert_eq!(text.parse::<OutputTarget>().map(|target| target.to_string()).as_deref(), Ok(text));
        }
        for wrong in ["", "file:", "frames:", "a.jsonl", "kafka:x"] {
            assert!(wrong.parse::<OutputTarget>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!("100MiB".parse().map(ByteSize::get), Ok(100 << 20));
        assert_eq!("1 GiB".parse().map(ByteSize::get), Ok(1 << 30));
        for wrong in ["", "100", "0KiB", "1GB", "-1MiB", "1.5MiB", "99999999999999999GiB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }
}
