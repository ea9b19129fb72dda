//! Gives metadata back to its pool, with all that hangs in it.
//!
//! All functions take an element that is in no list any more, and the batch that it is of, which the caller holds.

use std::ffi::c_void;

use deepstream_standin::{
    layout::{
        BatchMeta, ClassifierHead, DisplayMeta, LabelInfo, RectParams, RotatedRectParams, TextParams, UserMeta,
        frame_view, object_view,
    },
    list,
    version::{Epoch, epoch},
};
use glib_sys::g_free;

use crate::pool::give_back;

pub(crate) unsafe fn frame(batch: *mut BatchMeta, frame: *mut c_void) {
    // SAFETY: see above.
    unsafe {
        let head = frame_view(epoch(), frame).head;
        for item in list::take(&mut head.object_list) {
            object(batch, item);
        }
        for item in list::take(&mut head.display_list) {
            display(batch, item);
        }
        for item in list::take(&mut head.user_list) {
            user(batch, item.cast());
        }
        give_back((*batch).frame_pool, frame);
    }
}

pub(crate) unsafe fn object(batch: *mut BatchMeta, object: *mut c_void) {
    // SAFETY: see above; text and mask are of g_malloc by DeepStream's rules.
    unsafe {
        let view = object_view(epoch(), object);
        for item in list::take(&mut view.tail.classifier_list) {
            classifier(batch, item.cast());
        }
        for item in list::take(&mut view.tail.user_list) {
            user(batch, item.cast());
        }
        g_free(view.text.text.cast());
        if let Some(mask) = view.mask {
            g_free(mask.data.cast());
        }
        give_back((*batch).object_pool, object);
    }
}

pub(crate) unsafe fn classifier(batch: *mut BatchMeta, classifier: *mut ClassifierHead) {
    // SAFETY: see above.
    unsafe {
        for item in list::take(&mut (*classifier).label_list) {
            g_free((*item.cast::<LabelInfo>()).long_label.cast());
            give_back((*batch).label_info_pool, item);
        }
        give_back((*batch).classifier_pool, classifier.cast());
    }
}

pub(crate) unsafe fn display(batch: *mut BatchMeta, display: *mut c_void) {
    // SAFETY: see above; texts are of g_malloc by DeepStream's rules.
    unsafe {
        let texts: &[TextParams] = if epoch() < Epoch::V9 {
            &(*display.cast::<DisplayMeta<RectParams>>()).texts
        } else {
            &(*display.cast::<DisplayMeta<RotatedRectParams>>()).texts
        };
        for text in texts {
            g_free(text.text.cast());
        }
        give_back((*batch).display_pool, display);
    }
}

pub(crate) unsafe fn user(batch: *mut BatchMeta, user: *mut UserMeta) {
    // SAFETY: see above; a release function takes the element and the user's pointer.
    unsafe {
        if let Some(release) = (*user).base.release {
            release(user.cast(), (*user).base.user_context);
        }
        give_back((*batch).user_pool, user.cast());
    }
}
