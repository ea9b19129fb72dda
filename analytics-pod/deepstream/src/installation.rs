//! What of DeepStream is installed, what it can do, and what is missing.
//!
//! [`Installation::look`] collects facts; everything that is concluded from them is pure. The version is what the
//! libraries say, else what the file `version` says, else what the plugins say. What an element can do is asked of the
//! element, property by property; the version only says what to expect.

mod choice;
mod elements;
mod look;

use std::{collections::BTreeMap, fmt, path::PathBuf};

pub use choice::{Chosen, Refused, Request, choose};
pub use elements::{DeepStreamElement, ELEMENTS, Need};

use crate::{Epoch, LayoutError, Version, libraries::VersionFound};

/// How the version became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A library said it.
    Library(&'static str),
    /// The file `version` in DeepStream's folder.
    File,
    /// The plugin that brings this element.
    Plugin(&'static str),
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(name) => write!(f, "says {name}"),
            Self::File => f.write_str("says its file `version`"),
            Self::Plugin(element) => write!(f, "says the plugin of {element}"),
        }
    }
}

/// An element that is registered with GStreamer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementFound {
    /// The version that its plugin states.
    pub plugin_version: Option<String>,
    /// Those of [`DeepStreamElement::properties`] that it has.
    pub properties: Vec<&'static str>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// Where DeepStream is looked for.
    pub folder: PathBuf,
    /// Whether that is there.
    pub folder_exists: bool,
    /// What a library said.
    pub library_version: Option<VersionFound>,
    /// What the file `version` said.
    pub file_version: Option<Version>,
    /// Why the metadata library cannot be used.
    pub library_problem: Option<String>,
    /// Elements by name.
    pub elements: BTreeMap<&'static str, ElementFound>,
    /// Plugin files in DeepStream's folder.
    pub plugin_files: Vec<String>,
    /// Products' names of the GPUs.
    pub gpus: Vec<String>,
}

/// Something that is missing or wrong, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it concerns: a file, a library, an element.
    pub about: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.message)
    }
}

/// What an installation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Capabilities {
    /// `nvurisrcbin` is there; else a source is made of its parts.
    pub source_bin: bool,
    /// Tensors are prepared by `nvdspreprocess`.
    pub preprocess: bool,
    /// `nvtracker` is there.
    pub tracker: bool,
    /// The inference interval, the decoder's drop interval and regions change while the pipeline runs, by custom events.
    pub control_events: bool,
    /// Custom events of DeepStream stick to pads.
    pub sticky_events: bool,
    /// Pictures are drawn and encoded on the GPU.
    pub native_overlay: bool,
    /// `nvmultiurisrcbin`, and with it DeepStream's REST server, is there.
    pub rest: bool,
    /// Types of the metadata of `nvdsanalytics`.
    pub analytics: AnalyticsTypes,
}

/// How the types of the metadata of `nvdsanalytics` are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnalyticsTypes {
    /// Registered by name at run time.
    ByName,
    /// Numbers 32 (frame) and 33 (object).
    Fixed,
}

impl Installation {
    /// Whether there is any sign of DeepStream.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.folder_exists || self.library_version.is_some() || !self.elements.is_empty()
    }

    /// The version and how it is known.
    #[must_use]
    pub fn version(&self) -> Option<(Version, Evidence)> {
        let by_library =
            || self.library_version.as_ref().map(|found| (found.version, Evidence::Library(found.library)));
        let by_file = || self.file_version.map(|version| (version, Evidence::File));
        let by_plugin = || {
            self.elements.iter().find_map(|(element, found)| {
                Some((found.plugin_version.as_deref()?.parse().ok()?, Evidence::Plugin(element)))
            })
        };
        by_library().or_else(by_file).or_else(by_plugin)
    }

    /// How its metadata are laid out.
    ///
    /// # Errors
    /// `None` where the version is unknown, else why its layout is.
    pub fn epoch(&self) -> Result<Epoch, Option<LayoutError>> {
        let (version, _) = self.version().ok_or(None)?;
        Epoch::of(version).map_err(Some)
    }

    /// Everything that keeps it from being used; empty where it is whole.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let folder = self.folder.display();
        if !self.is_present() {
            let message = "not installed: install the package deepstream-7.1 from NVIDIA, run an image that has it, or \
                           name its folder in VISION_DEEPSTREAM_FOLDER";
            return vec![Problem { about: folder.to_string(), message: message.to_owned() }];
        }
        let mut problems = Vec::new();
        let version = match self.epoch() {
            Ok(_) => self.version().map(|(version, _)| version),
            Err(error) => {
                let unknown = "neither its libraries nor its file `version` nor its plugins tell their version: install \
                               DeepStream anew";
                let message = error.map_or_else(|| unknown.to_owned(), |error| error.to_string());
                problems.push(Problem { about: folder.to_string(), message });
                None
            }
        };
        if let (Some(found), Some(file)) = (&self.library_version, self.file_version)
            && found.version != file
        {
            let message = format!(
                "says version {}, but {folder}/version says {file}: two versions are mixed; keep one",
                found.version
            );
            problems.push(Problem { about: found.library.to_owned(), message });
        }
        if let Some(message) = &self.library_problem {
            problems.push(Problem { about: "libraries".to_owned(), message: message.clone() });
        }
        for element in &ELEMENTS {
            if let Some(message) = self.element_problem(element, version) {
                problems.push(Problem { about: element.name.to_owned(), message });
            }
        }
        problems
    }

    fn element_problem(&self, element: &DeepStreamElement, version: Option<Version>) -> Option<String> {
        let expected = version.is_some_and(|version| version >= element.since);
        let Some(found) = self.elements.get(element.name) else {
            return (expected && element.need == Need::Always).then(|| self.missing(element, version));
        };
        let lacking: Vec<_> =
            element.properties.iter().filter(|property| !found.properties.contains(*property)).copied().collect();
        (element.need == Need::Always && !lacking.is_empty()).then(|| {
            let loaded = found.plugin_version.as_deref().unwrap_or("unknown");
            format!(
                "has no property {}: its plugin is of version {loaded} and not DeepStream's; look for another plugin of \
                 the name on GST_PLUGIN_PATH",
                lacking.join(", ")
            )
        })
    }

    fn missing(&self, element: &DeepStreamElement, version: Option<Version>) -> String {
        let package = version.map_or_else(|| "deepstream".to_owned(), |version| format!("deepstream-{version}"));
        if !self.plugin_files.iter().any(|file| file == element.plugin) {
            return format!(
                "not installed: {} is not in {}/lib/gst-plugins; install the package {package}",
                element.plugin,
                self.folder.display()
            );
        }
        format!(
            "{} is there, but GStreamer does not load it: put {}/lib/gst-plugins on GST_PLUGIN_PATH, remove \
             ~/.cache/gstreamer-1.0, and run `gst-inspect-1.0 {}` to see which library it lacks ({})",
            element.plugin,
            self.folder.display(),
            element.name,
            element.hint
        )
    }

    /// What it can do; `None` where its version is unknown.
    #[must_use]
    pub fn capabilities(&self) -> Option<Capabilities> {
        let (version, _) = self.version()?;
        let has = |name: &str| self.elements.contains_key(name);
        Some(Capabilities {
            source_bin: has("nvurisrcbin"),
            preprocess: has("nvdspreprocess"),
            tracker: has("nvtracker"),
            control_events: version >= Version::new(6, 2),
            sticky_events: version >= Version::new(6, 3),
            native_overlay: has("nvdsosd") && has("nvjpegenc"),
            rest: has("nvmultiurisrcbin"),
            analytics: if version >= Version::new(8, 0) { AnalyticsTypes::Fixed } else { AnalyticsTypes::ByName },
        })
    }
}

#[cfg(test)]
mod tests;
