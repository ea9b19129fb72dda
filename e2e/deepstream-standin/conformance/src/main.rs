//! Plays one scene against the stand-in and prints what happened as JSON lines. Each scene is its own process, because
//! the version that is played is a process's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a scene that fails ends its process")]

mod installation;
mod pipeline;
mod reading;
mod scenes;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("the name of a scene");
    let rest: Vec<String> = arguments.collect();
    gstreamer::init().expect("GStreamer");
    scenes::play(&name, &rest);
}
