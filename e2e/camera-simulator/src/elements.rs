//! `GStreamer` elements, looked up before use so that what is missing is named with the package that brings it.

use gstreamer::{self as gst, prelude::*};

/// The elements this program uses and the Debian package that brings each.
const PACKAGES: &[(&str, &str)] = &[
    ("appsink", "gstreamer1.0-plugins-base"),
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("capsfilter", "libgstreamer1.0-0"),
    ("filesink", "libgstreamer1.0-0"),
    ("filesrc", "libgstreamer1.0-0"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("h265parse", "gstreamer1.0-plugins-bad"),
    ("matroskamux", "gstreamer1.0-plugins-good"),
    ("mp4mux", "gstreamer1.0-plugins-good"),
    ("mpegtsmux", "gstreamer1.0-plugins-bad"),
    ("parsebin", "gstreamer1.0-plugins-base"),
    ("rtph264pay", "gstreamer1.0-plugins-good"),
    ("rtph265pay", "gstreamer1.0-plugins-good"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("x265enc", "gstreamer1.0-plugins-bad"),
];

/// Why an element cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ElementError {
    /// It is not installed.
    #[error("the GStreamer element {element} is missing: install the Debian package {package}")]
    Missing {
        /// The element's name.
        element: &'static str,
        /// The package that brings it.
        package: &'static str,
    },
    /// The installed version lacks a property or refuses its value.
    #[error("the installed GStreamer element {element} does not take {property}={value}")]
    Property {
        /// The element's name.
        element: String,
        /// The property.
        property: String,
        /// The value that was asked for.
        value: String,
    },
    /// Two elements do not fit together.
    #[error("cannot assemble a pipeline: {0}")]
    Assembly(#[from] gst::glib::BoolError),
    /// `GStreamer` itself cannot start.
    #[error("GStreamer cannot start: {0}")]
    Start(#[from] gst::glib::Error),
}

/// Makes an element with its properties set from text, as `gst-launch-1.0` does.
pub(crate) fn make(element: &'static str, properties: &[(&str, String)]) -> Result<gst::Element, ElementError> {
    require(element)?;
    let made = gst::ElementFactory::make(element).build()?;
    for (property, value) in properties {
        let refuse = || ElementError::Property {
            element: element.to_owned(),
            property: (*property).to_owned(),
            value: value.clone(),
        };
        let kind = made.find_property(property).ok_or_else(refuse)?.value_type();
        let parsed = gst::glib::Value::deserialize(value, kind).map_err(|_| refuse())?;
        made.set_property_from_value(property, &parsed);
    }
    Ok(made)
}

/// Says whether an element is installed.
pub(crate) fn require(element: &'static str) -> Result<(), ElementError> {
    gst::init()?;
    if gst::ElementFactory::find(element).is_some() {
        return Ok(());
    }
    let package = PACKAGES.iter().find(|(name, _)| *name == element).map_or("that provides it", |(_, package)| package);
    Err(ElementError::Missing { element, package })
}

/// The version of the plugin that brings an element; part of what identifies its output.
pub(crate) fn plugin_version(element: &'static str) -> Result<String, ElementError> {
    require(element)?;
    let plugin = gst::ElementFactory::find(element).and_then(|factory| factory.plugin());
    Ok(plugin.map(|plugin| plugin.version().to_string()).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        for (element, package) in PACKAGES {
            let error = ElementError::Missing { element, package };
            assert!(error.to_string().contains(element) && error.to_string().contains(package));
        }
    }

    #[test]
    fn a_property_that_the_element_lacks_is_refused() {
        let error = make("appsrc", &[("colour", "red".into())]).unwrap_err();
        assert!(error.to_string().contains("colour=red"), "{error}");
        let error = make("appsrc", &[("format", "sideways".into())]).unwrap_err();
        assert!(error.to_string().contains("format=sideways"), "{error}");
    }
}
