//! Street scenes drawn from a seed, with the ground truth of what is in each frame.
//!
//! A [`Scene`] is a loop of [`Settings::frames`] frames; frame `n` is a pure function of the settings and `n`. Everything
//! that moves is where it was after one loop, so the loop can be played without a jump.
//!
//! ```
//! use street_scenes::{Picture, Scene, Settings};
//!
//! let scene = Scene::new(&Settings { seed: 1, width: 320, height: 240, fps: 10, frames: 200 })?;
//! let mut picture = Picture::new(320, 240);
//! scene.render(7, &mut picture);
//! for object in scene.truth(7) {
//!     println!("{} at {:.2}, {:.2}", object.class.name(), object.x, object.y);
//! }
//! # Ok::<(), street_scenes::SettingsError>(())
//! ```

// Colours are written the usual way, 0xRRGGBB.
#![allow(clippy::unreadable_literal)]

pub mod barcode;

mod backdrop;
mod brush;
mod compose;
mod figure;
mod figures;
mod geometry;
mod light;
mod picture;
mod raster;
mod street;
mod traffic;

use serde::{Deserialize, Serialize};

pub use compose::Scene;
pub use picture::Picture;

/// What a scene shows and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Everything is drawn from this.
    pub seed: u64,
    /// Picture width in pixels, even, 64 to 8192.
    pub width: u32,
    /// Picture height in pixels, even, 64 to 8192.
    pub height: u32,
    /// Frames per second, 1 to 240.
    pub fps: u32,
    /// Length of the loop in frames, 1 or more. A loop shorter than [`MIN_LOOP_SECONDS`] jumps where it closes.
    pub frames: u32,
}

/// The shortest loop that closes without a jump: in a shorter one the same few objects would have to follow one another
/// too closely.
pub const MIN_LOOP_SECONDS: f32 = 6.0;

impl Settings {
    fn check(&self) -> Result<(), SettingsError> {
        let size = |value: u32| value.is_multiple_of(2) && (64..=8192).contains(&value);
        if !size(self.width) || !size(self.height) {
            return Err(SettingsError::Size { width: self.width, height: self.height });
        }
        if !(1..=240).contains(&self.fps) {
            return Err(SettingsError::FrameRate { fps: self.fps });
        }
        if self.frames == 0 {
            return Err(SettingsError::NoFrames);
        }
        Ok(())
    }
}

/// Why a scene cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The picture is too small, too large, or odd.
    #[error("a scene of {width}x{height} cannot be drawn: width and height must be even and from 64 to 8192")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// Frame rate out of range.
    #[error("a scene at {fps} frames per second cannot be drawn: ask for 1 to 240")]
    FrameRate {
        /// Rate asked for.
        fps: u32,
    },
    /// The loop is empty.
    #[error("a scene of 0 frames cannot be drawn: ask for at least 1")]
    NoFrames,
}

/// A kind of object, in the order of the starter model's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A pedestrian.
    Person,
    /// A car.
    Car,
    /// A truck.
    Truck,
    /// A bicycle with its rider.
    Bicycle,
    /// A dog.
    Dog,
}

impl Class {
    /// Every class, in the order of the starter model's outputs.
    pub const ALL: [Self; 5] = [Self::Person, Self::Car, Self::Truck, Self::Bicycle, Self::Dog];

    /// The class's label, as the starter model has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Car => "car",
            Self::Truck => "truck",
            Self::Bicycle => "bicycle",
            Self::Dog => "dog",
        }
    }
}

/// One object in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthObject {
    /// The same object keeps it over the loop. One that is still in view when the loop closes goes on in the next loop's
    /// first frame with the id that follows (`id + 1`); one that never moves keeps its id for ever.
    pub id: u64,
    /// What it is.
    pub class: Class,
    /// Left edge, 0–1 of the picture's width, clipped to the picture.
    pub x: f32,
    /// Top edge, 0–1 of the picture's height.
    pub y: f32,
    /// Width. The box is around the whole object as far as it is in the picture, also where others hide it.
    pub width: f32,
    /// Height.
    pub height: f32,
    /// Share of the object that is inside the picture and not hidden by others, 0–1.
    pub visible: f32,
}
