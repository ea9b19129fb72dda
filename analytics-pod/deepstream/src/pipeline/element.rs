//! Elements, probed before they are used.

use gstreamer::{self as gst, prelude::*};

use super::PipelineError;

/// A new element.
pub(super) fn make(name: &str) -> Result<gst::Element, PipelineError> {
    gst::ElementFactory::make(name).build().map_err(|_| PipelineError::Element { name: name.to_owned() })
}

/// Sets what the element must have.
pub(super) fn set(element: &gst::Element, property: &str, value: &str) -> Result<(), PipelineError> {
    let found = element.find_property(property);
    let Some(found) = found.filter(|found| found.flags().contains(gst::glib::ParamFlags::WRITABLE)) else {
        return Err(PipelineError::Property {
            element: element.factory().map(|factory| factory.name().to_string()).unwrap_or_default(),
            property: property.to_owned(),
        });
    };
    let parsed = gst::glib::Value::deserialize(value, found.value_type()).map_err(|_| PipelineError::Property {
        element: element.factory().map(|factory| factory.name().to_string()).unwrap_or_default(),
        property: format!("{property} that takes {value}"),
    })?;
    element.set_property_from_value(property, &parsed);
    Ok(())
}

/// Sets what only some versions have; whether this one does.
pub(super) fn set_if_there(element: &gst::Element, property: &str, value: &str) -> Result<bool, PipelineError> {
    if element.find_property(property).is_none() {
        return Ok(false);
    }
    set(element, property, value).map(|()| true)
}
