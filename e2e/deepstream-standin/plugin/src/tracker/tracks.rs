//! Tracks of one source, joined to boxes by overlap alone. The real low-level libraries do far more; what is held here
//! is their interface.

/// Overlap from which on a box continues a track.
const MIN_IOU: f32 = 0.3;

/// What a configuration file of the tracker says, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Frames that a track lives before it is told.
    pub(super) probation_age: u32,
    /// Frames that it lives on without a box.
    pub(super) shadow_age: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { probation_age: 4, shadow_age: 38 }
    }
}

impl Settings {
    /// Reads a file that begins as YAML of `OpenCV` does.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("%YAML:1.0") {
            return Err("its first line is not %YAML:1.0".to_owned());
        }
        let mut settings = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let number = || value.trim().parse().map_err(|_| format!("{} is no number", key.trim()));
            match key.trim() {
                "probationAge" => settings.probation_age = number()?,
                "maxShadowTrackingAge" => settings.shadow_age = number()?,
                _ => {}
            }
        }
        Ok(settings)
    }
}

/// A box that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) class: i32,
    /// Left, top, width, height.
    pub(super) area: [f32; 4],
}

#[derive(Clone, Debug)]
struct Track {
    id: u64,
    last: Found,
    age: u32,
    missed: u32,
}

/// The tracks of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracks {
    tracks: Vec<Track>,
    next: u64,
}

fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let across = (a[0] + a[2]).min(b[0] + b[2]) - a[0].max(b[0]);
    let down = (a[1] + a[3]).min(b[1] + b[3]) - a[1].max(b[1]);
    let both = across.max(0.0) * down.max(0.0);
    let all = a[2] * a[3] + b[2] * b[3] - both;
    if all > 0.0 { both / all } else { 0.0 }
}

impl Tracks {
    /// Begins with the given identity.
    pub(super) fn from(next: u64) -> Self {
        Self { tracks: Vec::new(), next }
    }

    /// The identity that the next track gets.
    pub(super) fn next_id(&self) -> u64 {
        self.next
    }

    /// One frame with boxes; the identity of each, if its track is old enough.
    pub(super) fn update(&mut self, found: &[Found], settings: Settings) -> Vec<Option<u64>> {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (box_index, found) in found.iter().enumerate() {
            for (track_index, track) in self.tracks.iter().enumerate() {
                let overlap = iou(found.area, track.last.area);
                if track.last.class == found.class && overlap >= MIN_IOU {
                    pairs.push((overlap, box_index, track_index));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut of_box = vec![None; found.len()];
        let mut taken = vec![false; self.tracks.len()];
        for (_, box_index, track_index) in pairs {
            if of_box[box_index].is_none() && !taken[track_index] {
                of_box[box_index] = Some(track_index);
                taken[track_index] = true;
            }
        }
        for (track, taken) in self.tracks.iter_mut().zip(&taken) {
            track.missed = if *taken { 0 } else { track.missed + 1 };
        }
        let mut identities = Vec::with_capacity(found.len());
        for (found, track_index) in found.iter().zip(of_box) {
            let track = if let Some(index) = track_index {
                &mut self.tracks[index]
            } else {
                self.tracks.push(Track { id: self.next, last: *found, age: 0, missed: 0 });
                self.next += 1;
                let last = self.tracks.len() - 1;
                &mut self.tracks[last]
            };
            track.last = *found;
            track.age += 1;
            identities.push((track.age > settings.probation_age).then_some(track.id));
        }
        self.tracks.retain(|track| track.missed <= settings.shadow_age);
        identities
    }

    /// Tracks that go on in a frame that no detector has seen.
    pub(super) fn predicted(&self, settings: Settings) -> Vec<(u64, Found)> {
        let told = self.tracks.iter().filter(|track| track.age > settings.probation_age && track.missed == 0);
        told.map(|track| (track.id, track.last)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_PROBATION: Settings = Settings { probation_age: 0, shadow_age: 1 };

    fn found(left: f32) -> Found {
        Found { class: 0, area: [left, 0.0, 10.0, 10.0] }
    }

    #[test]
    fn a_box_that_moves_a_little_keeps_its_identity() {
        let mut tracks = Tracks::default();
        assert_eq!(tracks.update(&[found(0.0), found(50.0)], NO_PROBATION), [Some(0), Some(1)]);
        assert_eq!(tracks.update(&[found(51.0), found(2.0)], NO_PROBATION), [Some(1), Some(0)]);
        assert_eq!(tracks.update(&[found(100.0)], NO_PROBATION), [Some(2)]);
        assert_eq!(tracks.predicted(NO_PROBATION), [(2, found(100.0))]);
    }

    #[test]
    fn a_track_is_told_after_its_probation_and_forgotten_after_its_shadow() {
        let mut tracks = Tracks::default();
        let settings = Settings { probation_age: 1, shadow_age: 1 };
        assert_eq!(tracks.update(&[found(0.0)], settings), [None]);
        assert_eq!(tracks.update(&[found(0.0)], settings), [Some(0)]);
        for _ in 0..2 {
            tracks.update(&[], settings);
        }
        tracks.update(&[found(0.0)], settings);
        assert_eq!(tracks.update(&[found(0.0)], settings), [Some(1)]);
    }

    #[test]
    fn files_begin_with_their_yaml_version() {
        let text = "%YAML:1.0\nTargetManagement:\n  probationAge: 2 # frames\n  maxShadowTrackingAge: 51\n";
        assert_eq!(Settings::parse(text), Ok(Settings { probation_age: 2, shadow_age: 51 }));
        assert!(Settings::parse("BaseConfig:\n").is_err());
        assert!(Settings::parse("%YAML:1.0\n  probationAge: x\n").is_err());
    }
}
