//! Collects the facts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gstreamer::{self as gst, glib, prelude::*};

use super::{ELEMENTS, ElementFound, Installation};
use crate::{Libraries, Version, libraries};

impl Installation {
    /// Looks at DeepStream in `folder`, on a machine with these `gpus`.
    ///
    /// # Errors
    /// Where GStreamer cannot be used.
    pub fn look(folder: PathBuf, gpus: Vec<String>) -> Result<Self, glib::Error> {
        gst::init()?;
        let folder_exists = folder.is_dir();
        add_plugins(&folder);
        let file_version = fs::read_to_string(folder.join("version")).ok().and_then(|text| Version::from_file(&text));
        Ok(Self {
            folder_exists,
            library_version: libraries::version(&folder),
            file_version,
            library_problem: Libraries::open(&folder).err().map(|error| error.to_string()),
            elements: ELEMENTS
                .iter()
                .filter_map(|element| Some((element.name, find(element.name, element.properties)?)))
                .collect(),
            plugin_files: plugin_files(&folder),
            gpus,
            folder,
        })
    }
}

/// Makes GStreamer look at the plugins in `folder`. A package links them where GStreamer looks anyway; a folder that was
/// named need not.
fn add_plugins(folder: &Path) {
    let plugins = folder.join("lib/gst-plugins");
    if plugins.is_dir() && folder != Path::new(libraries::DEFAULT_FOLDER) {
        gst::Registry::get().scan_path(plugins);
    }
}

/// The element's class is asked: an instance would already open the GPU.
fn find(name: &str, properties: &[&'static str]) -> Option<ElementFound> {
    let factory = gst::ElementFactory::find(name)?;
    let plugin_version = factory.plugin().map(|plugin| plugin.version().to_string());
    let factory = factory.load().ok()?.downcast::<gst::ElementFactory>().ok()?;
    let class = glib::Class::<gst::Element>::from_type(factory.element_type())?;
    let properties = properties.iter().copied().filter(|property| class.find_property(property).is_some()).collect();
    Some(ElementFound { plugin_version, properties })
}

fn plugin_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("lib/gst-plugins")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
