//! Writes frames of a scene as PNG files, with the boxes of what is in them.
//!
//! `cargo run --release -p street-scenes --example preview -- <folder> <width> <height> <first seed> <count>`

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use street_scenes::{Picture, Scene, Settings, TruthObject};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, width, height, first, count] = &arguments[..] else {
        return Err("usage: preview <folder> <width> <height> <first seed> <count>".into());
    };
    let (width, height, first, count) = (width.parse()?, height.parse()?, first.parse::<u64>()?, count.parse::<u64>()?);
    for seed in first..first + count {
        let started = Instant::now();
        let scene = Scene::new(&Settings { seed, width, height, fps: 15, frames: 450 })?;
        let planned = started.elapsed();
        let mut picture = Picture::new(width, height);
        let frame = (seed * 37 % 450) as u32;
        let started = Instant::now();
        for offset in 0..30 {
            scene.render(frame + 450 - 29 + offset, &mut picture);
        }
        let rendered = started.elapsed() / 30;
        let started = Instant::now();
        let truth = scene.truth(frame);
        println!(
            "seed {seed}: plan {planned:.1?}, frame {rendered:.2?}, truth {:.2?}, {} objects",
            started.elapsed(),
            truth.len()
        );
        let mut rgb = picture.to_rgb();
        for object in &truth {
            draw_box(&mut rgb, width, height, object);
        }
        let path = Path::new(folder).join(format!("seed-{seed}.png"));
        image::save_buffer(path, &rgb, width, height, image::ColorType::Rgb8)?;
    }
    Ok(())
}

fn draw_box(rgb: &mut [u8], width: u32, height: u32, object: &TruthObject) {
    let colours = [[255, 64, 64], [64, 255, 64], [64, 128, 255], [255, 255, 64], [255, 64, 255]];
    let colour = colours[object.class as usize];
    let strength = 0.2 + 0.8 * object.visible;
    let (left, top) = ((object.x * width as f32) as u32, (object.y * height as f32) as u32);
    let right = (((object.x + object.width) * width as f32) as u32).min(width - 1);
    let bottom = (((object.y + object.height) * height as f32) as u32).min(height - 1);
    let mut dot = |x: u32, y: u32| {
        let start = ((y * width + x) * 3) as usize;
        for (channel, value) in rgb[start..start + 3].iter_mut().zip(colour) {
            *channel = (f32::from(*channel) * (1.0 - strength) + f32::from(value as u8) * strength) as u8;
        }
    };
    for x in left..=right {
        dot(x, top);
        dot(x, bottom);
    }
    for y in top..=bottom {
        dot(left, y);
        dot(right, y);
    }
}
