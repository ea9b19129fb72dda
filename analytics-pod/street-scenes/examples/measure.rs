//! Prints what planning a scene, a frame and its truth cost in processor time.
//!
//! `cargo run --release -p street-scenes --example measure -- <width> <height> <scenes>`

use std::error::Error;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use street_scenes::{Picture, Scene, Settings};

const FRAMES: u32 = 40;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [width, height, scenes] = &arguments[..] else {
        return Err("usage: measure <width> <height> <scenes>".into());
    };
    let (width, height, scenes) = (width.parse()?, height.parse()?, scenes.parse::<u32>()?);
    let mut sums = [Duration::ZERO; 3];
    let mut slowest = Duration::ZERO;
    for seed in 0..scenes {
        let started = cpu_time();
        let scene = Scene::new(&Settings { seed: seed.into(), width, height, fps: 15, frames: 450 })?;
        sums[0] += cpu_time().saturating_sub(started);
        let mut picture = Picture::new(width, height);
        let started = cpu_time();
        for frame in 0..FRAMES {
            scene.render(frame * 11, &mut picture);
        }
        let rendered = cpu_time().saturating_sub(started);
        sums[1] += rendered;
        slowest = slowest.max(rendered / FRAMES);
        let started = cpu_time();
        for frame in 0..FRAMES {
            std::hint::black_box(scene.truth(frame * 11));
        }
        sums[2] += cpu_time().saturating_sub(started);
    }
    let frames = scenes * FRAMES;
    println!("{width}x{height}: plan {:.1?} a scene", sums[0] / scenes);
    println!(
        "render {:.2?} a frame (slowest scene {slowest:.2?}), truth {:.2?} a frame",
        sums[1] / frames,
        sums[2] / frames
    );
    Ok(())
}
