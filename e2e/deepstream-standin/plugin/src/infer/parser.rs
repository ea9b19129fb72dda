//! Parsers of outputs in libraries of users: C++ functions, called with `std::vector`s laid out by hand as `libstdc++`
//! lays them out.

use std::{ffi::c_void, path::Path, ptr, slice};

use deepstream_standin::{
    layout::{CppVector, Dims, LayerInfo, NetworkInfo, ObjectInfo24, ObjectInfo28, ParseParameters, object_info_size},
    version::{Epoch, epoch},
};
use libloading::Library;

use super::{backend::Output, detections::Detection};
use crate::config::Class;

/// `NvDsInferParseCustomFunc`. References are pointers.
type ParseFunction =
    unsafe extern "C" fn(*const CppVector, *const NetworkInfo, *const ParseParameters, *mut CppVector) -> bool;

/// A parser, with the library that it is in.
#[derive(Debug)]
pub(crate) struct Parser {
    parse: ParseFunction,
    /// `operator delete` of the library's C++ runtime.
    free: unsafe extern "C" fn(*mut c_void),
    _library: Library,
}

/// A vector over values that live elsewhere.
fn vector<T>(values: &[T]) -> CppVector {
    let range = values.as_ptr_range();
    let end = range.end.cast_mut().cast();
    CppVector { begin: range.start.cast_mut().cast(), end, capacity: end }
}

/// The layer's description with the values of one picture.
pub(crate) fn layer(output: &Output, index: usize, picture: usize, batch: usize) -> LayerInfo {
    let mut d = [0; 8];
    for (to, from) in d.iter_mut().zip(&output.dims) {
        *to = *from;
    }
    let (buffer, _) = output.values.part(picture, batch);
    LayerInfo {
        data_type: output.values.data_type(),
        dims: Dims { count: output.dims.len() as u32, d, elements: output.dims.iter().product() },
        binding: index as i32 + 1,
        name: output.name.as_ptr(),
        buffer: buffer.cast_mut().cast(),
        is_input: 0,
    }
}

fn load(path: &Path) -> Result<Library, String> {
    // SAFETY: the user's library; what it does when it is loaded is the user's business, as in the real element.
    unsafe { Library::new(path) }.map_err(|error| format!("Could not open custom lib: {error}"))
}

impl Parser {
    /// Whether the library can be opened.
    pub(crate) fn check(path: &Path) -> Result<(), String> {
        load(path).map(drop)
    }

    /// Opens the library and finds the function.
    pub(crate) fn open(path: &Path, function: &str) -> Result<Self, String> {
        let library = load(path)?;
        // SAFETY: the function has this type by DeepStream's rules.
        let parse = *unsafe { library.get::<ParseFunction>(function) }.map_err(|_| {
            format!("Detect-postprocessor failed to init resource because dlsym failed to get func {function} pointer")
        })?;
        // SAFETY: `operator delete(void*)`, which dlsym finds in what the library is linked to.
        let free = *unsafe { library.get::<unsafe extern "C" fn(*mut c_void)>("_ZdlPv") }
            .map_err(|_| format!("{} is not linked to a C++ runtime", path.display()))?;
        Ok(Self { parse, free, _library: library })
    }

    /// The boxes of one picture of a batch.
    pub(crate) fn parse(
        &self,
        outputs: &[Output],
        (picture, batch): (usize, usize),
        network: NetworkInfo,
        classes: &[Class],
    ) -> Result<Vec<Detection>, String> {
        let layers: Vec<_> =
            outputs.iter().enumerate().map(|(index, output)| layer(output, index, picture, batch)).collect();
        let before: Vec<f32> = classes.iter().map(|class| class.before).collect();
        let after: Vec<f32> = classes.iter().map(|class| class.after).collect();
        let mut parameters = ParseParameters {
            classes: classes.len() as u32,
            before: vector(&before),
            after: vector(&after),
            old_name: ptr::null(),
        };
        parameters.old_name = &raw const parameters.before;
        let layer_vector = vector(&layers);
        let mut found = CppVector { begin: ptr::null_mut(), end: ptr::null_mut(), capacity: ptr::null_mut() };
        // SAFETY: all arguments are laid out as the header says and live during the call. An empty vector is three null
        // pointers.
        let parsed =
            unsafe { (self.parse)(&raw const layer_vector, &raw const network, &raw const parameters, &raw mut found) };
        let bytes = found.end as usize - found.begin as usize;
        let read = if parsed { read(&found, bytes) } else { Err("the custom parser reports failure".to_owned()) };
        if !found.begin.is_null() {
            // SAFETY: the vector's memory, which its allocator got of `operator new`.
            unsafe { (self.free)(found.begin) };
        }
        read
    }
}

fn read(found: &CppVector, bytes: usize) -> Result<Vec<Detection>, String> {
    let size = object_info_size(epoch());
    if bytes == 0 {
        return Ok(Vec::new());
    }
    if !bytes.is_multiple_of(size) {
        return Err(format!(
            "the custom parser's objects are not of {size} bytes: it was built with another version's headers, and the \
             real element would read it wrongly"
        ));
    }
    let count = bytes / size;
    let detection = |info: &ObjectInfo24, rotation: f32| Detection {
        class: info.class_id,
        left: info.left,
        top: info.top,
        width: info.width,
        height: info.height,
        confidence: info.confidence,
        rotation,
    };
    // SAFETY: the parser has filled so many objects of the epoch's size from there on.
    let detections: Vec<_> = unsafe {
        if epoch() < Epoch::V9 {
            let objects = slice::from_raw_parts(found.begin.cast::<ObjectInfo24>(), count);
            objects.iter().map(|info| detection(info, 0.0)).collect()
        } else {
            let objects = slice::from_raw_parts(found.begin.cast::<ObjectInfo28>(), count);
            objects.iter().map(|object| detection(&object.info, object.rotation_angle)).collect()
        }
    };
    if detections.iter().any(|found| !found.confidence.is_finite() || !found.left.is_finite()) {
        return Err("the custom parser gives boxes that are no numbers".to_owned());
    }
    Ok(detections)
}
