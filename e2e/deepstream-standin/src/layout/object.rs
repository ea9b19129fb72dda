//! `NvDsObjectMeta`, `NvDsClassifierMeta` and `NvDsLabelInfo`.

use std::ffi::{c_char, c_void};

use glib_sys::GList;

use super::{
    batch::BaseMeta,
    osd::{MaskParams, RectParams, RotatedRectParams, TextParams},
};
use crate::version::Epoch;

/// What objects of all epochs begin with.
#[repr(C)]
#[derive(Debug)]
pub struct ObjectHead {
    /// What all metadata has.
    pub base: BaseMeta,
    /// The object that it was found in.
    pub parent: *mut c_void,
    /// Who found it.
    pub component_id: i32,
    /// Its class.
    pub class_id: i32,
    /// Its identity over time, all ones where nothing tracks it.
    pub object_id: u64,
}

/// What objects of all epochs end with.
#[repr(C)]
#[derive(Debug)]
pub struct ObjectTail {
    /// Its class in words, ended by a zero.
    pub label: [c_char; 128],
    /// Results of classifiers.
    pub classifier_list: *mut GList,
    /// Users' metadata.
    pub user_list: *mut GList,
    /// For users.
    pub misc: [i64; 4],
    /// For DeepStream.
    pub reserved: [i64; 4],
}

/// The preview of 5.0.
#[repr(C)]
#[derive(Debug)]
pub struct ObjectPreview {
    /// The fields of every epoch.
    pub head: ObjectHead,
    /// From 0 to 1.
    pub confidence: f32,
    /// The box.
    pub rect: RectParams,
    /// The text beside it.
    pub text: TextParams,
    /// The fields of every epoch.
    pub tail: ObjectTail,
}

/// From 5.0 on, by the rectangle that it holds.
#[repr(C)]
#[derive(Debug)]
pub struct Object5<R> {
    /// The fields of every epoch.
    pub head: ObjectHead,
    /// The detector's box: left, top, width, height.
    pub detector_box: [f32; 4],
    /// The tracker's box.
    pub tracker_box: [f32; 4],
    /// From 0 to 1.
    pub confidence: f32,
    /// From 0 to 1.
    pub tracker_confidence: f32,
    /// The box.
    pub rect: R,
    /// The object's shape.
    pub mask: MaskParams,
    /// The text beside it.
    pub text: TextParams,
    /// The fields of every epoch.
    pub tail: ObjectTail,
}

/// `NvDsLabelInfo`.
#[repr(C)]
#[derive(Debug)]
pub struct LabelInfo {
    /// What all metadata has.
    pub base: BaseMeta,
    /// How many classes there are.
    pub classes: u32,
    /// The label, ended by a zero.
    pub label: [c_char; 128],
    /// The label where it is too long for `label`.
    pub long_label: *mut c_char,
    /// Its class.
    pub class_id: u32,
    /// Which label of the classifier.
    pub label_id: u32,
    /// From 0 to 1.
    pub probability: f32,
}

/// What classifiers' results of all epochs begin with.
#[repr(C)]
#[derive(Debug)]
pub struct ClassifierHead {
    /// What all metadata has.
    pub base: BaseMeta,
    /// How many labels follow.
    pub labels: u32,
    /// Who found it.
    pub component_id: i32,
    /// The labels.
    pub label_list: *mut GList,
}

/// Up to 5.1.
#[repr(C)]
#[derive(Debug)]
pub struct Classifier5 {
    /// All of it.
    pub head: ClassifierHead,
}

/// From 6.0 on.
#[repr(C)]
#[derive(Debug)]
pub struct Classifier6 {
    /// The fields of every epoch.
    pub head: ClassifierHead,
    /// What is classified.
    pub classifier_type: *const c_char,
}

/// The size of an object's metadata in bytes.
#[must_use]
pub fn object_size(epoch: Epoch) -> usize {
    match epoch {
        Epoch::V5Preview => size_of::<ObjectPreview>(),
        Epoch::V5 | Epoch::V6 | Epoch::V6_3 | Epoch::V8 => size_of::<Object5<RectParams>>(),
        Epoch::V9 => size_of::<Object5<RotatedRectParams>>(),
    }
}

/// The size of a classifier's result in bytes.
#[must_use]
pub fn classifier_size(epoch: Epoch) -> usize {
    if epoch < Epoch::V6 { size_of::<Classifier5>() } else { size_of::<Classifier6>() }
}

/// The fields of an object in any epoch.
#[derive(Debug)]
pub struct ObjectView<'a> {
    /// The fields at the beginning.
    pub head: &'a mut ObjectHead,
    /// From 0 to 1.
    pub confidence: &'a mut f32,
    /// The detector's box, the tracker's box and the tracker's confidence, from 5.0 on.
    pub boxes: Option<(&'a mut [f32; 4], &'a mut [f32; 4], &'a mut f32)>,
    /// The box.
    pub rect: &'a mut RectParams,
    /// The box's angle in degrees, from 9.0 on.
    pub rotation: Option<&'a mut f32>,
    /// The object's shape, from 5.0 on.
    pub mask: Option<&'a mut MaskParams>,
    /// The text beside it.
    pub text: &'a mut TextParams,
    /// The fields at the end.
    pub tail: &'a mut ObjectTail,
}

/// The fields of the object at `object`.
///
/// # Safety
/// `object` must be an object of this epoch that nothing else uses for `'a`.
#[must_use]
pub unsafe fn object_view<'a>(epoch: Epoch, object: *mut c_void) -> ObjectView<'a> {
    // SAFETY: the caller warrants that an object of this epoch lies there and that it is ours.
    unsafe {
        match epoch {
            Epoch::V5Preview => {
                let object = &mut *object.cast::<ObjectPreview>();
                ObjectView {
                    head: &mut object.head,
                    confidence: &mut object.confidence,
                    boxes: None,
                    rect: &mut object.rect,
                    rotation: None,
                    mask: None,
                    text: &mut object.text,
                    tail: &mut object.tail,
                }
            }
            Epoch::V5 | Epoch::V6 | Epoch::V6_3 | Epoch::V8 => {
                let object = &mut *object.cast::<Object5<RectParams>>();
                ObjectView {
                    head: &mut object.head,
                    confidence: &mut object.confidence,
                    boxes: Some((&mut object.detector_box, &mut object.tracker_box, &mut object.tracker_confidence)),
                    rect: &mut object.rect,
                    rotation: None,
                    mask: Some(&mut object.mask),
                    text: &mut object.text,
                    tail: &mut object.tail,
                }
            }
            Epoch::V9 => {
                let object = &mut *object.cast::<Object5<RotatedRectParams>>();
                ObjectView {
                    head: &mut object.head,
                    confidence: &mut object.confidence,
                    boxes: Some((&mut object.detector_box, &mut object.tracker_box, &mut object.tracker_confidence)),
                    rect: &mut object.rect.rect,
                    rotation: Some(&mut object.rect.rotation_angle),
                    mask: Some(&mut object.mask),
                    text: &mut object.text,
                    tail: &mut object.tail,
                }
            }
        }
    }
}
