//! GLib's lists, which hold all metadata.

use std::ffi::c_void;

use glib_sys::{GList, g_list_append, g_list_free, g_list_remove};

/// What a list holds, in order. The list may be changed afterwards.
///
/// # Safety
/// `list` must be a list of GLib or null.
#[must_use]
pub unsafe fn items(list: *mut GList) -> Vec<*mut c_void> {
    let mut items = Vec::new();
    let mut node = list;
    while !node.is_null() {
        // SAFETY: a node of a GLib list, as the caller warrants; `next` is another one or null.
        unsafe {
            items.push((*node).data);
            node = (*node).next;
        }
    }
    items
}

/// Puts `item` at the end of the list.
///
/// # Safety
/// `list` must be a list of GLib or null.
pub unsafe fn append(list: &mut *mut GList, item: *mut c_void) {
    // SAFETY: as the caller warrants.
    *list = unsafe { g_list_append(*list, item) };
}

/// Takes `item` out of the list, once.
///
/// # Safety
/// `list` must be a list of GLib or null.
pub unsafe fn remove(list: &mut *mut GList, item: *mut c_void) {
    // SAFETY: as the caller warrants.
    *list = unsafe { g_list_remove(*list, item) };
}

/// Empties the list and gives what it held.
///
/// # Safety
/// `list` must be a list of GLib or null.
pub unsafe fn take(list: &mut *mut GList) -> Vec<*mut c_void> {
    // SAFETY: as the caller warrants.
    unsafe {
        let items = items(*list);
        g_list_free(std::mem::replace(list, std::ptr::null_mut()));
        items
    }
}
