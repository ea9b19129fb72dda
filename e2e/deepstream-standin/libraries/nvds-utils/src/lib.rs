//! Stands in for `libnvds_utils.so`: says which version is played.

use std::ffi::c_uint;

/// `nvds_version`.
#[unsafe(no_mangle)]
extern "C" fn nvds_version(major: *mut c_uint, minor: *mut c_uint) {
    let version = deepstream_standin::current();
    // SAFETY: the public header asks for two pointers to unsigned numbers.
    unsafe {
        *major = version.major;
        *minor = version.minor;
    }
}

/// `nvds_version_print`.
#[unsafe(no_mangle)]
extern "C" fn nvds_version_print() {
    println!("DeepStreamSDK {}", deepstream_standin::current());
}

/// `nvds_dependencies_version_print`.
#[unsafe(no_mangle)]
extern "C" fn nvds_dependencies_version_print() {
    println!("stand-in, without CUDA and TensorRT");
}
