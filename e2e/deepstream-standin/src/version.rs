//! Which DeepStream the stand-in plays.

use std::{
    env,
    ffi::{CStr, c_void},
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::OnceLock,
};

/// Names the version that is played: `5.0-DP`, `5.0`, … `9.1`. Without it the `version` file of the installation that
/// the library lies in counts.
pub const VERSION_VARIABLE: &str = "VISION_STANDIN_DEEPSTREAM";

/// Names another version whose layouts are used, for tests of what happens where a library lies about itself.
pub const LAYOUT_VARIABLE: &str = "VISION_STANDIN_LAYOUT";

/// The versions that exist, oldest first.
pub const KNOWN: [Version; 15] = [
    Version { major: 5, minor: 0, patch: 0, preview: true },
    Version::new(5, 0, 0),
    Version::new(5, 1, 0),
    Version::new(6, 0, 0),
    Version::new(6, 0, 1),
    Version::new(6, 1, 0),
    Version::new(6, 1, 1),
    Version::new(6, 2, 0),
    Version::new(6, 3, 0),
    Version::new(6, 4, 0),
    Version::new(7, 0, 0),
    Version::new(7, 1, 0),
    Version::new(8, 0, 0),
    Version::new(9, 0, 0),
    Version::new(9, 1, 0),
];

/// A version of DeepStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third, 0 where there is none.
    pub patch: u32,
    /// Whether it is the developer preview (only of 5.0).
    pub preview: bool,
}

impl Version {
    /// A released version.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, preview: false }
    }

    /// The layouts that it uses. Versions after the last known one get the last known layouts.
    #[must_use]
    pub fn epoch(self) -> Epoch {
        match (self.major, self.minor) {
            (..=5, 0) if self.preview => Epoch::V5Preview,
            (..=5, _) => Epoch::V5,
            (6, ..=2) => Epoch::V6,
            (6 | 7, _) => Epoch::V6_3,
            (8, _) => Epoch::V8,
            _ => Epoch::V9,
        }
    }

    /// Whether it is `major.minor` or later.
    #[must_use]
    pub fn at_least(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 {
            write!(f, ".{}", self.patch)?;
        }
        if self.preview { f.write_str("-DP") } else { Ok(()) }
    }
}

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of DeepStream; expected one like 5.0-DP, 6.3 or 6.1.1")]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || VersionError(text.to_owned());
        let (numbers, preview) = match text.strip_suffix("-DP") {
            Some(numbers) => (numbers, true),
            None => (text, false),
        };
        let numbers = numbers.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().map_err(|_| error())?;
        let (major, minor, patch) = match numbers[..] {
            [major, minor] => (major, minor, 0),
            [major, minor, patch] => (major, minor, patch),
            _ => return Err(error()),
        };
        if major < 5 || (preview && (major, minor, patch) != (5, 0, 0)) {
            return Err(error());
        }
        Ok(Self { major, minor, patch, preview })
    }
}

/// A span of versions whose structs lie alike in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Epoch {
    /// 5.0, the developer preview.
    V5Preview,
    /// 5.0 and 5.1.
    V5,
    /// 6.0 to 6.2.
    V6,
    /// 6.3 to 7.1.
    V6_3,
    /// 8.0.
    V8,
    /// 9.0 and later.
    V9,
}

impl Epoch {
    /// All of them, oldest first.
    pub const ALL: [Self; 6] = [Self::V5Preview, Self::V5, Self::V6, Self::V6_3, Self::V8, Self::V9];
}

/// Where this library lies: the folder of the file that holds `address`.
fn folder_of(address: *const c_void) -> Option<PathBuf> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: `info` is valid for writing, and `address` is only compared with where libraries are mapped.
    let found = unsafe { libc::dladdr(address, &raw mut info) } != 0 && !info.dli_fname.is_null();
    // SAFETY: dladdr gives the path of a mapped library, which stays mapped while its code, this one, runs.
    let name = found.then(|| unsafe { CStr::from_ptr(info.dli_fname) })?;
    let path = Path::new(name.to_str().ok()?);
    Some(path.parent()?.to_owned())
}

/// The `lib` folder of the installation that the calling library lies in: the library's own folder, or the one above it
/// where that is `gst-plugins`.
#[must_use]
pub fn library_folder() -> Option<PathBuf> {
    static MARK: u8 = 0;
    let folder = folder_of((&raw const MARK).cast())?;
    if folder.ends_with("gst-plugins") { folder.parent().map(Path::to_owned) } else { Some(folder) }
}

/// What the `version` file of an installation says.
#[must_use]
pub fn read_version_file(root: &Path) -> Option<Version> {
    let text = fs::read_to_string(root.join("version")).ok()?;
    let version = text.lines().find_map(|line| line.strip_prefix("Version:"))?.trim().parse::<Version>().ok()?;
    let preview = text.lines().any(|line| line.trim() == "Preview: DP");
    Some(Version { preview: version.preview || preview, ..version })
}

/// The version that this process plays, decided once. A wrong variable ends the process: a stand-in that plays an
/// unnamed version would prove nothing.
pub fn current() -> Version {
    static CURRENT: OnceLock<Version> = OnceLock::new();
    *CURRENT.get_or_init(|| match env::var(VERSION_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|error| refuse(&format!("{VERSION_VARIABLE}: {error}"))),
        Err(_) => library_folder()
            .and_then(|folder| read_version_file(folder.parent()?))
            .unwrap_or_else(|| refuse(&format!("{VERSION_VARIABLE} is not set, and there is no version file"))),
    })
}

/// The epoch whose layouts this process uses: that of [`current`], or of [`LAYOUT_VARIABLE`].
pub fn epoch() -> Epoch {
    static EPOCH: OnceLock<Epoch> = OnceLock::new();
    *EPOCH.get_or_init(|| match env::var(LAYOUT_VARIABLE) {
        Ok(text) => {
            text.parse::<Version>().unwrap_or_else(|error| refuse(&format!("{LAYOUT_VARIABLE}: {error}"))).epoch()
        }
        Err(_) => current().epoch(),
    })
}

/// Ends the process with one line: what was asked of the stand-in cannot be played.
pub fn refuse(message: &str) -> ! {
    eprintln!("deepstream-standin: {message}");
    std::process::exit(70);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_written_alike() {
        for version in KNOWN {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        for wrong in ["", "6", "4.0", "6.x", "6.0-DP", "1.2.3.4"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn epochs_follow_the_versions() {
        let epochs: Vec<_> = KNOWN.iter().map(|version| version.epoch()).collect();
        assert!(epochs.is_sorted());
        assert_eq!("6.2".parse::<Version>().map(Version::epoch), Ok(Epoch::V6));
        assert_eq!("6.3".parse::<Version>().map(Version::epoch), Ok(Epoch::V6_3));
        assert_eq!("7.1".parse::<Version>().map(Version::epoch), Ok(Epoch::V6_3));
        assert_eq!("9.1".parse::<Version>().map(Version::epoch), Ok(Epoch::V9));
    }
}
