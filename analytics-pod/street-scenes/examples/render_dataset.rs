//! Renders pictures and labels for training and judging detectors.
//!
//! `render_dataset <prefix> <width> <height> <first seed> <scenes> <pictures per scene> <frames between pictures>`
//!
//! Writes `<prefix>.i420`, the pictures one after another as planar YUV 4:2:0 (BT.709, limited range), and
//! `<prefix>.csv` with one line per object: `picture,class,x,y,width,height,visible`, the box in pixels (left, top). Every
//! second scene has barcodes in its pictures, as the simulator's cameras do.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

use street_scenes::{Picture, Scene, Settings, barcode};

/// Length of each scene's loop: 30 s.
const FPS: u32 = 15;
const FRAMES: u32 = 450;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [prefix, numbers @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    let numbers: Vec<u32> = numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [width, height, first_seed, scenes, pictures, step] = numbers[..] else { return Err(USAGE.into()) };

    let mut planes = BufWriter::new(File::create(format!("{prefix}.i420"))?);
    let mut labels = BufWriter::new(File::create(format!("{prefix}.csv"))?);
    writeln!(labels, "picture,class,x,y,width,height,visible")?;
    let mut picture = Picture::new(width, height);
    let mut index = 0_u32;
    for seed in first_seed..first_seed + scenes {
        let scene = Scene::new(&Settings { seed: seed.into(), width, height, fps: FPS, frames: FRAMES })?;
        for offset in 0..pictures {
            let frame = seed.wrapping_mul(131).wrapping_add(offset * step) % FRAMES;
            scene.render(frame, &mut picture);
            if seed % 2 == 1 {
                barcode::draw(&mut picture, u64::from(seed) << 32 | u64::from(frame));
            }
            planes.write_all(&picture.y)?;
            planes.write_all(&picture.u)?;
            planes.write_all(&picture.v)?;
            for object in scene.truth(frame) {
                writeln!(
                    labels,
                    "{index},{},{:.2},{:.2},{:.2},{:.2},{:.3}",
                    object.class as u8,
                    object.x * width as f32,
                    object.y * height as f32,
                    object.width * width as f32,
                    object.height * height as f32,
                    object.visible
                )?;
            }
            index += 1;
        }
    }
    planes.flush()?;
    labels.flush()?;
    Ok(())
}

const USAGE: &str = "usage: render_dataset <prefix> <width> <height> <first seed> <scenes> <pictures per scene> <frames between pictures>";
