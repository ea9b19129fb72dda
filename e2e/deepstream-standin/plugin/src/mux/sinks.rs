//! The side of the element that sources are linked to, and what happens where one breaks a rule.

use std::{env, sync::PoisonError, thread};

use deepstream_standin::version::current;
use gstreamer::{self as gst, prelude::*, subclass::prelude::*};
use gstreamer_video as gst_video;

use super::{
    CAT, RELEASE_VARIABLE,
    element::StreamMux,
    state::{Queued, State},
};
use crate::runtime::{event::ALL, event_number};

impl StreamMux {
    /// Blocks for ever where a pad is released out of order: that is what the real element does, and whoever releases
    /// pads has to be able to live with it.
    pub(super) fn wait_until_releasable(&self, id: u32) {
        let every = env::var(RELEASE_VARIABLE).ok().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        let mut state = self.state();
        state.releases += 1;
        if every > 0 && state.releases.is_multiple_of(every) {
            drop(state);
            gst::error!(CAT, imp = self, "sink_{id}: this release hangs, as {RELEASE_VARIABLE} asks");
            loop {
                thread::park();
            }
        }
        if state.running && state.sources.get(&id).is_some_and(|source| !source.releasable()) {
            gst::error!(
                CAT,
                imp = self,
                "sink_{id} is released while its stream is under way: send it EOS (or flush-start), then flush-stop, \
                 after its source is in NULL; this call hangs"
            );
        }
        while state.running && state.sources.get(&id).is_some_and(|source| !source.releasable()) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether something came after the end of everything, which ends the process from 8.0 on.
    fn refuse_after_end(&self, state: &State) -> bool {
        let refused = state.over && current().at_least(8, 0);
        if refused {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Failed,
                [
                    "nvstreammux of {} is used again after the end of its streams; the real one ends with SIGSEGV",
                    current()
                ]
            );
        }
        refused
    }

    pub(super) fn chain(
        &self,
        pad: &gst::Pad,
        id: u32,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut state = self.state();
        if self.refuse_after_end(&state) {
            return Err(gst::FlowError::Error);
        }
        loop {
            let limit = state.queue_limit(self.number("batch-size"));
            let running = state.running;
            let source = state.sources.get_mut(&id).ok_or(gst::FlowError::Flushing)?;
            if source.flushing || !running || pad.pad_flags().contains(gst::PadFlags::FLUSHING) {
                return Err(gst::FlowError::Flushing);
            }
            if source.ended {
                return Err(gst::FlowError::Eos);
            }
            (source.used, source.quiet, source.drained) = (true, false, false);
            if source.queue.len() < limit {
                let running_time = buffer.pts().and_then(|pts| source.segment.to_running_time(pts));
                let info = source.info.clone();
                source.queue.push_back(Queued { buffer, info, running_time });
                self.changed.notify_all();
                return Ok(gst::FlowSuccess::Ok);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn sink_event(&self, _pad: &gst::Pad, id: u32, event: gst::Event) -> bool {
        let mut state = self.state();
        let Some(source) = state.sources.get_mut(&id) else { return false };
        match event.view() {
            gst::EventView::FlushStart(_) => {
                source.flushing = true;
                source.quiet = true;
                source.queue.clear();
            }
            gst::EventView::FlushStop(_) => {
                source.flushing = false;
                source.drained = true;
                source.queue.clear();
                source.segment = gst::FormattedSegment::new();
            }
            gst::EventView::Eos(_) => {
                source.ended = true;
                source.quiet = true;
            }
            gst::EventView::StreamStart(_) => {
                source.ended = false;
                source.end_told = false;
                if self.refuse_after_end(&state) {
                    return false;
                }
            }
            gst::EventView::Caps(caps) => match gst_video::VideoInfo::from_caps(caps.caps()) {
                Ok(info) => source.info = Some(info),
                Err(_) => return false,
            },
            gst::EventView::Segment(segment) => match segment.segment().clone().downcast() {
                Ok(segment) => source.segment = segment,
                Err(_) => return false,
            },
            _ if ALL.contains(&event_number(&event)) => state.events.push_back(event),
            _ => {}
        }
        drop(state);
        self.changed.notify_all();
        true
    }

    pub(super) fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let template = pad.pad_template_caps();
                let caps = query.filter().map_or_else(|| template.clone(), |filter| filter.intersect(&template));
                query.set_result(&caps);
                true
            }
            gst::QueryViewMut::Allocation(_) => false,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }
}
