//! Properties that an element keeps by name, so that which ones there are can depend on the version.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use gstreamer::{self as gst, glib, prelude::*};

/// The values of an element's properties.
#[derive(Debug, Default)]
pub(crate) struct Store(Mutex<HashMap<String, glib::SendValue>>);

impl Store {
    /// Keeps a value. One that may only be set in NULL or READY is an error of the element later: the real elements
    /// read it once and would go on as if nothing had been said.
    pub(crate) fn set(&self, element: &gst::Element, spec: &glib::ParamSpec, value: &glib::Value) {
        let flags = spec.flags();
        if flags.contains(gst::PARAM_FLAG_MUTABLE_READY) && element.current_state() > gst::State::Ready {
            gst::element_error!(
                element,
                gst::LibraryError::Settings,
                [
                    "{} of {} was set in {:?}; it counts only when it is set in NULL or READY",
                    spec.name(),
                    element.name(),
                    element.current_state()
                ]
            );
            return;
        }
        // SAFETY: numbers, texts and constants may go to any thread, and pointers are only kept for whoever set them.
        let value =
            unsafe { <glib::SendValue as glib::translate::UnsafeFrom<_>>::unsafe_from(value.clone().into_raw()) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(spec.name().to_owned(), value);
    }

    /// The value, or the default.
    pub(crate) fn get(&self, spec: &glib::ParamSpec) -> glib::Value {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.get(spec.name()).map_or_else(|| spec.default_value().clone(), |value| value.clone().into())
    }

    /// Whether somebody has set it.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// The value of a property by its name; the type's default where this version has no such property.
    pub(crate) fn typed<T>(&self, element: &impl IsA<gst::Object>, name: &str) -> T
    where
        T: for<'a> glib::value::FromValue<'a> + Default,
    {
        element.as_ref().find_property(name).and_then(|spec| self.get(&spec).get::<T>().ok()).unwrap_or_default()
    }
}

/// An unsigned number.
pub(crate) fn uint(name: &'static str, range: (u32, u32), default: u32, ready: bool) -> glib::ParamSpec {
    let builder =
        glib::ParamSpecUInt::builder(name).minimum(range.0).maximum(range.1).default_value(default).readwrite();
    if ready { builder.mutable_ready().build() } else { builder.build() }
}

/// A number.
pub(crate) fn int(name: &'static str, range: (i32, i32), default: i32, ready: bool) -> glib::ParamSpec {
    let builder =
        glib::ParamSpecInt::builder(name).minimum(range.0).maximum(range.1).default_value(default).readwrite();
    if ready { builder.mutable_ready().build() } else { builder.build() }
}

/// A long unsigned number.
pub(crate) fn uint64(name: &'static str, default: u64) -> glib::ParamSpec {
    glib::ParamSpecUInt64::builder(name).default_value(default).readwrite().build()
}

/// Yes or no.
pub(crate) fn boolean(name: &'static str, default: bool, ready: bool) -> glib::ParamSpec {
    let builder = glib::ParamSpecBoolean::builder(name).default_value(default).readwrite();
    if ready { builder.mutable_ready().build() } else { builder.build() }
}

/// A text.
pub(crate) fn text(name: &'static str, default: Option<&'static str>, ready: bool) -> glib::ParamSpec {
    let builder = glib::ParamSpecString::builder(name).default_value(default).readwrite();
    if ready { builder.mutable_ready().build() } else { builder.build() }
}

/// One of several.
pub(crate) fn choice<T>(name: &'static str, default: T, ready: bool) -> glib::ParamSpec
where
    T: StaticType + glib::translate::FromGlib<i32> + glib::translate::IntoGlib<GlibType = i32>,
{
    let builder = glib::ParamSpecEnum::builder_with_default(name, default).readwrite();
    if ready { builder.mutable_ready().build() } else { builder.build() }
}

/// A pointer.
pub(crate) fn pointer(name: &'static str) -> glib::ParamSpec {
    glib::ParamSpecPointer::builder(name).readwrite().mutable_ready().build()
}
