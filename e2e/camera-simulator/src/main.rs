//! Serves simulated RTSP cameras.

fn main() {}
