//! Where one track's frames go, across every peer that ever carries it: a new peer after a broken one takes the same
//! outlet, so that whoever routed the track need not know. Also the place that knows when the track was last heard.
//!
//! Before its first key frame a track has nothing to show: its tile shows the person's card. That is no gap of the film,
//! which goes on, so nobody notes it as one.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gstreamer::glib::WeakRef;
use gstreamer::prelude::*;
use media::{Codec, Frame, FrameSink, Kind, TrackId};
use tokio::sync::mpsc::UnboundedSender;

/// A key frame that does not come is asked for again after this, then after twice as long, and so on.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// The longest wait between two askings.
const LAST_PATIENCE: Duration = Duration::from_secs(16);

/// A track's way out: routed or not, its frames pass here.
pub struct Outlet {
    track: TrackId,
    codec: Codec,
    born: Instant,
    /// Milliseconds from `born` to the last packet; 0 before the first.
    heard: AtomicU64,
    quiet: AtomicBool,
    /// Told once when a track that was quiet sends again.
    awake: UnboundedSender<TrackId>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sink: Option<FrameSink>,
    /// Where packets come from now: askings for key frames go there.
    source: WeakRef<gstreamer::Pad>,
    key: Key,
}

/// What a decoder at the other end would need.
#[derive(Clone, Copy, Default)]
enum Key {
    #[default]
    Had,
    Wanted {
        ask_at: Instant,
        patience: Duration,
    },
}

impl Outlet {
    /// `awake` hears of the track when it sends again after [`Outlet::watch`].
    #[must_use]
    pub fn new(track: TrackId, codec: Codec, awake: UnboundedSender<TrackId>) -> Self {
        Self {
            track,
            codec,
            born: Instant::now(),
            heard: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
            awake,
            state: Mutex::default(),
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Frames go to `sink` from the next key frame on.
    pub fn route(&self, sink: FrameSink) {
        let old = {
            let mut state = self.state();
            state.want_key(self.codec, Instant::now());
            state.sink.replace(sink)
        };
        // Not under the lock: it may call back into GStreamer.
        drop(old);
    }

    /// Nobody takes the frames any more.
    pub fn unroute(&self) {
        let old = self.state().sink.take();
        drop(old);
    }

    /// Packets come from `source` from now on, as a stream that starts anew.
    pub(crate) fn source_is(&self, source: &gstreamer::Pad) {
        let mut state = self.state();
        state.source = source.downgrade();
        state.want_key(self.codec, Instant::now());
    }

    /// A packet of this track has arrived; `gap` when some before it never did: until the next key frame, what comes
    /// shows what never was. Returns the pad to ask for a key frame, when it is time to. Called for each packet, on a
    /// streaming thread, and not for each frame: a parser lets no frame pass before its first key frame.
    pub(crate) fn packet(&self, gap: bool) -> Option<gstreamer::Pad> {
        self.packet_at(gap, Instant::now())
    }

    fn packet_at(&self, gap: bool, now: Instant) -> Option<gstreamer::Pad> {
        let since = u64::try_from(now.duration_since(self.born).as_millis()).unwrap_or(u64::MAX);
        self.heard.store(since.max(1), Ordering::Relaxed);
        if self.quiet.load(Ordering::Relaxed) && self.quiet.swap(false, Ordering::Relaxed) {
            // Nobody listens: the room is being left.
            let _ = self.awake.send(self.track.clone());
        }
        let mut state = self.state();
        if gap && matches!(state.key, Key::Had) {
            state.want_key(self.codec, now);
        }
        match state.key {
            Key::Wanted { ask_at, patience } if state.sink.is_some() && ask_at <= now => {
                let patience_next = (patience * 2).min(LAST_PATIENCE);
                state.key = Key::Wanted { ask_at: now + patience, patience: patience_next };
                state.source.upgrade()
            }
            Key::Wanted { .. } | Key::Had => None,
        }
    }

    /// How long this track has been silent, from its beginning if it never sent; and whether it ever did.
    pub(crate) fn silence(&self) -> (Duration, bool) {
        let heard = self.heard.load(Ordering::Relaxed);
        (self.born.elapsed().saturating_sub(Duration::from_millis(heard)), heard > 0)
    }

    /// Says once more through `awake` when the next packet comes.
    pub(crate) fn watch(&self) {
        self.quiet.store(true, Ordering::Relaxed);
    }

    /// Hands `frame` on, or drops it: with nobody there, and before the first key frame. Called on a streaming thread.
    pub(crate) fn deliver(&self, frame: Frame) {
        let mut state = self.state();
        if frame.keyframe {
            state.key = Key::Had;
        }
        if let (Key::Had, Some(sink)) = (state.key, &mut state.sink) {
            sink(frame);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A sink that panicked has poisoned the lock; the state itself is whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn want_key(&mut self, codec: Codec, now: Instant) {
        self.key = match codec.kind() {
            Kind::Audio => Key::Had,
            Kind::Video => Key::Wanted { ask_at: now, patience: FIRST_PATIENCE },
        };
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("track", &self.track).field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// Asks whoever sends into `source` for a key frame: becomes an RTCP PLI (RFC 4585 §6.3.1). With all headers it would
/// become a FIR, which is for those who join and is ignored when it repeats itself.
pub(crate) fn ask_for_key(source: &gstreamer::Pad) {
    source.send_event(gstreamer_video::UpstreamForceKeyUnitEvent::builder().all_headers(false).build());
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use media::RunningTime;
    use tokio::sync::mpsc;

    use super::*;

    fn frame(pts: u64, keyframe: bool) -> Frame {
        Frame { pts: RunningTime(pts), keyframe, bytes: Bytes::from_static(b"x") }
    }

    fn collector() -> (FrameSink, Arc<Mutex<Vec<u64>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        (Box::new(move |frame: Frame| sink.lock().unwrap().push(frame.pts.0)), seen)
    }

    #[test]
    fn a_decoder_gets_a_key_frame_first_after_every_change() {
        gstreamer::init().unwrap();
        let outlet = Outlet::new(TrackId("t".into()), Codec::Vp8, mpsc::unbounded_channel().0);
        let (sink, seen) = collector();
        outlet.deliver(frame(1, true));
        outlet.route(sink);
        for (pts, key) in [(2, false), (3, true), (4, false)] {
            outlet.deliver(frame(pts, key));
        }
        let pad = gstreamer::Pad::new(gstreamer::PadDirection::Src);
        outlet.source_is(&pad);
        for (pts, key) in [(5, false), (6, true)] {
            outlet.deliver(frame(pts, key));
        }
        outlet.packet(true);
        for (pts, key) in [(61, false), (62, true)] {
            outlet.deliver(frame(pts, key));
        }
        let (other, later) = collector();
        outlet.route(other);
        for (pts, key) in [(7, false), (8, true)] {
            outlet.deliver(frame(pts, key));
        }
        outlet.unroute();
        outlet.deliver(frame(9, true));
        assert_eq!((*seen.lock().unwrap()).clone(), [3, 4, 6, 62]);
        assert_eq!((*later.lock().unwrap()).clone(), [8]);
    }

    #[test]
    fn a_missing_key_frame_is_asked_for_once_per_patience() {
        gstreamer::init().unwrap();
        let outlet = Outlet::new(TrackId("t".into()), Codec::H264, mpsc::unbounded_channel().0);
        let pad = gstreamer::Pad::new(gstreamer::PadDirection::Src);
        outlet.source_is(&pad);
        assert!(outlet.packet(false).is_none(), "asked for nobody");
        outlet.route(collector().0);
        let askings = (0..100).filter(|_| outlet.packet(false).is_some()).count();
        assert_eq!(askings, 1);
    }

    #[test]
    fn askings_grow_to_sixteen_seconds() {
        gstreamer::init().unwrap();
        let outlet = Outlet::new(TrackId("t".into()), Codec::Vp8, mpsc::unbounded_channel().0);
        let pad = gstreamer::Pad::new(gstreamer::PadDirection::Src);
        outlet.source_is(&pad);
        outlet.route(collector().0);
        // A packet each tenth of a second, for a minute.
        let askings = |gap, begin: Instant| {
            let asks = |n: &u32| outlet.packet_at(gap && *n == 0, begin + Duration::from_millis(100) * *n).is_some();
            (0..600).filter(asks).collect::<Vec<_>>()
        };
        let begin = Instant::now();
        assert_eq!(askings(false, begin), [0, 10, 30, 70, 150, 310, 470]);
        outlet.deliver(frame(1, true));
        assert!(askings(false, begin + Duration::from_secs(60)).is_empty(), "it has come");
        assert_eq!(askings(true, begin + Duration::from_secs(120)), [0, 10, 30, 70, 150, 310, 470], "a new gap");
    }

    #[test]
    fn sound_needs_no_key_frame_and_wakes_its_watcher_once() {
        let (awake, mut woken) = mpsc::unbounded_channel();
        let outlet = Outlet::new(TrackId("t".into()), Codec::Opus, awake);
        let (sink, seen) = collector();
        outlet.route(sink);
        outlet.deliver(frame(1, true));
        assert_eq!(seen.lock().unwrap().len(), 1);
        assert!(!outlet.silence().1);
        outlet.watch();
        outlet.packet(false);
        outlet.packet(false);
        assert!(outlet.silence().1);
        assert_eq!(woken.try_recv().unwrap().0, "t");
        assert!(woken.try_recv().is_err());
    }
}
