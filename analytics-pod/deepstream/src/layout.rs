//! Where each field of the metadata lies, for every layout that DeepStream has had.
//!
//! The offsets are bytes on 64-bit Linux, the same on x86-64 and aarch64. They follow from the public headers of each
//! version (`nvdsmeta.h`, `nvll_osd_struct.h`). What is in front of `rect_params` has not moved since 5.0; three changes
//! move what is behind: `NvDsFrameMeta` grew in 6.0 and 8.0, `NvOSD_RectParams` in 9.0.

use std::fmt;

use crate::Version;

/// The oldest version that can be read.
const OLDEST: Version = Version::new(5, 0);
/// The newest version whose headers are known.
const NEWEST: Version = Version::new(9, 1);

/// A span of versions whose metadata have one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Epoch {
    /// 5.0, developer preview. Calls itself 5.0 too; its objects are smaller.
    V5Preview,
    /// 5.0 and 5.1.
    V5,
    /// 6.0 to 6.2.
    V6_0,
    /// 6.3 to 7.1.
    V6_3,
    /// 8.0.
    V8,
    /// 9.0 and 9.1.
    V9,
}

impl Epoch {
    /// Every layout, oldest first.
    pub const ALL: [Self; 6] = [Self::V5Preview, Self::V5, Self::V6_0, Self::V6_3, Self::V8, Self::V9];

    /// The layout of `version`.
    ///
    /// # Errors
    /// [`LayoutError::Unknown`] for a version whose headers are not known: it is refused rather than guessed at.
    pub const fn of(version: Version) -> Result<Self, LayoutError> {
        Ok(match (version.major, version.minor) {
            (5, 0 | 1) => Self::V5,
            (6, 0..=2) => Self::V6_0,
            (6, 3 | 4) | (7, 0 | 1) => Self::V6_3,
            (8, 0) => Self::V8,
            (9, 0 | 1) => Self::V9,
            _ => return Err(LayoutError::Unknown { version }),
        })
    }

    /// Where its fields lie.
    #[must_use]
    pub const fn layout(self) -> &'static Layout {
        match self {
            Self::V5Preview => &V5_PREVIEW,
            Self::V5 => &V5,
            Self::V6_0 => &V6_0,
            Self::V6_3 => &V6_3,
            Self::V8 => &V8,
            Self::V9 => &V9,
        }
    }

    /// Size of `NvDsInferParseObjectInfo`, which a parser library fills, in bytes. It grew in 9.0, so a library built
    /// for an older version is misread by a newer one.
    #[must_use]
    pub const fn parse_object_size(self) -> usize {
        if matches!(self, Self::V9) { 28 } else { 24 }
    }

    /// Holds the sizes that the pools of a batch tell against the table.
    ///
    /// The version number does not tell the preview of 5.0 from 5.0; the size of an object does.
    ///
    /// # Errors
    /// [`LayoutError::Contradiction`] where the sizes are those of another layout: reading on would be a guess.
    pub fn confirm(self, sizes: PoolSizes) -> Result<(Self, Confirmation), LayoutError> {
        let expected = self.layout().sizes();
        if sizes == expected {
            return Ok((self, Confirmation::Confirmed));
        }
        if self == Self::V5 && sizes == V5_PREVIEW.sizes() {
            return Ok((Self::V5Preview, Confirmation::Confirmed));
        }
        match Self::ALL.into_iter().find(|other| other.layout().sizes() == sizes) {
            Some(found) => Err(LayoutError::Contradiction { expected: self, found }),
            // What the pools write there is nowhere promised, so numbers that are no size at all say nothing.
            None => Ok((self, Confirmation::Silent { sizes })),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V5Preview => "5.0 developer preview",
            Self::V5 => "5.0 and 5.1",
            Self::V6_0 => "6.0 to 6.2",
            Self::V6_3 => "6.3 to 7.1",
            Self::V8 => "8.0",
            Self::V9 => "9.0 and 9.1",
        })
    }
}

/// What the pools of the first batch said of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Their sizes are those of the table.
    Confirmed,
    /// Their sizes are those of no layout.
    Silent {
        /// What they said.
        sizes: PoolSizes,
    },
}

/// Sizes of metadata in bytes, as the pools of a batch tell them (`NvDsMetaPool.element_size`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSizes {
    /// Of `NvDsFrameMeta`.
    pub frame: u32,
    /// Of `NvDsObjectMeta`.
    pub object: u32,
}

/// Metadata that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No table for it.
    #[error(
        "DeepStream {version} is installed and its metadata are not known to this program, which reads {OLDEST} to \
         {NEWEST}: install one of those, or set serving.engine to Native"
    )]
    Unknown {
        /// The installed version.
        version: Version,
    },
    /// The libraries say one version and lay their metadata out as another.
    #[error(
        "DeepStream's version has the metadata of {expected}, but its first batch is laid out as in {found}: libraries \
         of two versions are mixed; keep one version under /opt/nvidia/deepstream and on LD_LIBRARY_PATH"
    )]
    Contradiction {
        /// What the version has.
        expected: Epoch,
        /// What the batch has.
        found: Epoch,
    },
}

/// Offsets in `NvDsBatchMeta` that the reader uses; the same in every version.
pub(crate) mod batch {
    pub(crate) const NUM_FRAMES: usize = 44;
    pub(crate) const FRAME_POOL: usize = 48;
    pub(crate) const OBJECT_POOL: usize = 56;
    pub(crate) const FRAMES: usize = 96;
    pub(crate) const SIZE: usize = 192;
}

/// `NvDsMetaPool`.
pub(crate) mod pool {
    pub(crate) const ELEMENT_SIZE: usize = 8;
}

/// `NvDsBaseMeta`, with which frames, objects and user metadata begin.
pub(crate) mod base {
    pub(crate) const BATCH: usize = 0;
    pub(crate) const META_TYPE: usize = 8;
}

/// `NvDsUserMeta`.
pub(crate) mod user {
    pub(crate) const DATA: usize = 40;
}

/// `GList`.
pub(crate) mod list {
    pub(crate) const DATA: usize = 0;
    pub(crate) const NEXT: usize = 8;
}

/// Values of `NvDsMetaType` that no version has moved.
pub(crate) mod meta_type {
    pub(crate) const FRAME: i32 = 2;
    pub(crate) const OBJECT: i32 = 3;
}

/// Size of `obj_label`.
pub(crate) const LABEL_SIZE: usize = 128;

/// Offsets in one layout, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offsets in `NvDsFrameMeta`.
    pub frame: FrameLayout,
    /// Offsets in `NvDsObjectMeta`.
    pub object: ObjectLayout,
}

impl Layout {
    /// Sizes of what is read.
    #[must_use]
    pub const fn sizes(&self) -> PoolSizes {
        PoolSizes { frame: self.frame.size as u32, object: self.object.size as u32 }
    }
}

/// `NvDsFrameMeta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the offset of the field of that name in nvdsmeta.h")]
pub struct FrameLayout {
    pub size: usize,
    pub pad_index: usize,
    pub batch_id: usize,
    pub frame_num: usize,
    pub buf_pts: usize,
    pub ntp_timestamp: usize,
    pub source_id: usize,
    pub source_frame_width: usize,
    pub source_frame_height: usize,
    pub num_obj_meta: usize,
    pub infer_done: usize,
    pub obj_meta_list: usize,
    pub frame_user_meta_list: usize,
    /// Width and height of the pipeline's pictures; since 6.0.
    pub pipeline_size: Option<(usize, usize)>,
}

/// `NvDsObjectMeta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the offset of the field of that name in nvdsmeta.h")]
pub struct ObjectLayout {
    pub size: usize,
    pub unique_component_id: usize,
    pub class_id: usize,
    pub object_id: usize,
    /// Four floats: left, top, width, height; since 5.0.
    pub detector_bbox: Option<usize>,
    pub confidence: usize,
    pub tracker_confidence: Option<usize>,
    /// Begins with four floats: left, top, width, height.
    pub rect_params: usize,
    pub obj_label: usize,
    pub obj_user_meta_list: usize,
}

/// As far as 5.0 has it; what later versions add comes behind.
const FRAME_V5: FrameLayout = FrameLayout {
    size: 192,
    pad_index: 40,
    batch_id: 44,
    frame_num: 48,
    buf_pts: 56,
    ntp_timestamp: 64,
    source_id: 72,
    source_frame_width: 80,
    source_frame_height: 84,
    num_obj_meta: 96,
    infer_done: 100,
    obj_meta_list: 104,
    frame_user_meta_list: 120,
    pipeline_size: None,
};

const FRAME_V6: FrameLayout = FrameLayout { size: 200, pipeline_size: Some((160, 164)), ..FRAME_V5 };

/// With `sensorInfo_meta`, 32 bytes at 168.
const FRAME_V8: FrameLayout = FrameLayout { size: 232, ..FRAME_V6 };

const OBJECT_V5_PREVIEW: ObjectLayout = ObjectLayout {
    size: 488,
    unique_component_id: 48,
    class_id: 52,
    object_id: 56,
    detector_bbox: None,
    confidence: 64,
    tracker_confidence: None,
    rect_params: 72,
    obj_label: 280,
    obj_user_meta_list: 416,
};

const OBJECT_V5: ObjectLayout = ObjectLayout {
    size: 544,
    detector_bbox: Some(64),
    confidence: 96,
    tracker_confidence: Some(100),
    rect_params: 104,
    obj_label: 336,
    obj_user_meta_list: 472,
    ..OBJECT_V5_PREVIEW
};

/// `rect_params` has `rotation_angle` at its end.
const OBJECT_V9: ObjectLayout = ObjectLayout { size: 552, obj_label: 344, obj_user_meta_list: 480, ..OBJECT_V5 };

static V5_PREVIEW: Layout = Layout { frame: FRAME_V5, object: OBJECT_V5_PREVIEW };
static V5: Layout = Layout { frame: FRAME_V5, object: OBJECT_V5 };
static V6_0: Layout = Layout { frame: FRAME_V6, object: OBJECT_V5 };
/// As 6.0 as far as it is read here: what changed in 6.3 are the ids of user metadata and `NvDsAnalyticsObjInfo`.
static V6_3: Layout = Layout { frame: FRAME_V6, object: OBJECT_V5 };
static V8: Layout = Layout { frame: FRAME_V8, object: OBJECT_V5 };
static V9: Layout = Layout { frame: FRAME_V8, object: OBJECT_V9 };

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const VERSIONS: [(u32, u32, Epoch); 12] = [
        (5, 0, Epoch::V5),
        (5, 1, Epoch::V5),
        (6, 0, Epoch::V6_0),
        (6, 1, Epoch::V6_0),
        (6, 2, Epoch::V6_0),
        (6, 3, Epoch::V6_3),
        (6, 4, Epoch::V6_3),
        (7, 0, Epoch::V6_3),
        (7, 1, Epoch::V6_3),
        (8, 0, Epoch::V8),
        (9, 0, Epoch::V9),
        (9, 1, Epoch::V9),
    ];

    #[test]
    fn every_version_has_its_layout() {
        for (major, minor, epoch) in VERSIONS {
            assert_eq!(Epoch::of(Version::new(major, minor)), Ok(epoch), "{major}.{minor}");
        }
    }

    #[test]
    fn a_version_without_a_table_is_refused_with_what_to_do() {
        for (major, minor) in [(4, 0), (5, 2), (6, 5), (7, 2), (8, 1), (9, 2), (10, 0), (0, 0), (u32::MAX, 1)] {
            let error = Epoch::of(Version::new(major, minor)).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&format!("{major}.{minor}")) && message.contains("5.0 to 9.1"), "{message}");
        }
    }

    #[test]
    fn pools_confirm_tell_the_preview_apart_and_contradict() {
        for epoch in Epoch::ALL {
            let sizes = epoch.layout().sizes();
            assert_eq!(epoch.confirm(sizes), Ok((epoch, Confirmation::Confirmed)));
        }
        let preview = Epoch::V5Preview.layout().sizes();
        assert_eq!(Epoch::V5.confirm(preview), Ok((Epoch::V5Preview, Confirmation::Confirmed)));
        let error = Epoch::V8.confirm(Epoch::V9.layout().sizes()).unwrap_err();
        assert_eq!(error, LayoutError::Contradiction { expected: Epoch::V8, found: Epoch::V9 });
        assert!(error.to_string().contains("libraries of two versions"), "{error}");
        let sizes = PoolSizes { frame: 0, object: 0 };
        assert_eq!(Epoch::V6_3.confirm(sizes), Ok((Epoch::V6_3, Confirmation::Silent { sizes })));
    }

    #[test]
    fn fields_lie_within_their_metadata_and_do_not_overlap() {
        for epoch in Epoch::ALL {
            let Layout { frame, object } = *epoch.layout();
            let mut fields = vec![
                (frame.pad_index, 4),
                (frame.batch_id, 4),
                (frame.frame_num, 4),
                (frame.buf_pts, 8),
                (frame.ntp_timestamp, 8),
                (frame.source_id, 4),
                (frame.source_frame_width, 4),
                (frame.source_frame_height, 4),
                (frame.num_obj_meta, 4),
                (frame.infer_done, 4),
                (frame.obj_meta_list, 8),
                (frame.frame_user_meta_list, 8),
            ];
            fields.extend(frame.pipeline_size.into_iter().flat_map(|(width, height)| [(width, 4), (height, 4)]));
            check(&mut fields, frame.size, epoch);
            let mut fields = vec![
                (object.unique_component_id, 4),
                (object.class_id, 4),
                (object.object_id, 8),
                (object.confidence, 4),
                (object.rect_params, if epoch == Epoch::V9 { 112 } else { 104 }),
                (object.obj_label, LABEL_SIZE),
                (object.obj_user_meta_list, 8),
            ];
            fields.extend(object.detector_bbox.map(|offset| (offset, 16)));
            fields.extend(object.tracker_confidence.map(|offset| (offset, 4)));
            check(&mut fields, object.size, epoch);
        }
    }

    fn check(fields: &mut [(usize, usize)], size: usize, epoch: Epoch) {
        fields.sort_unstable();
        assert!(fields.first().is_some_and(|(offset, _)| *offset >= 40), "{epoch}: NvDsBaseMeta comes first");
        for pair in fields.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{epoch}: {pair:?}");
        }
        for (offset, width) in fields {
            assert!(*offset % (*width).min(4) == 0 && *offset + *width <= size, "{epoch}: {offset}");
        }
    }
}
