//! Every webinar of this origin, and the memory they share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use events::RecordingId;
use hls::{PushError, Rules, State, Webinar};
use media::{Init, Part, Rendition, SegmentClosed};

use crate::Config;

/// Shared by all requests. The lock is held for lookups and pushes, never while bytes travel.
#[derive(Debug)]
pub struct Webinars {
    rules: Rules,
    /// In bytes.
    most: u64,
    kept: Mutex<BTreeMap<RecordingId, Kept>>,
}

#[derive(Debug)]
struct Kept {
    webinar: Webinar,
    pushed: Instant,
    /// When the epoch that viewers see was last heard of: what the playlist clock counts from.
    heard: Instant,
    /// Playlists as last written; thousands of viewers ask for the same text between two pushes.
    written: HashMap<Rendition, Bytes>,
}

/// Why a push was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Push(#[from] PushError),
    #[error("no webinar is known by this id; push its init sections first")]
    Unknown,
    #[error("the memory for webinars is full; raise [origin].memory_mib or lower window_minutes")]
    Full,
}

impl Webinars {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let rules = Rules { window: config.window(), ..Rules::default() };
        Self { rules, most: config.memory_mib * 1024 * 1024, kept: Mutex::default() }
    }

    pub(crate) fn init(&self, id: RecordingId, epoch: u32, init: Init) -> Result<(), Refused> {
        let mut kept = self.lock();
        make_room(&mut kept, self.most, init.bytes.len() as u64)?;
        let rules = self.rules;
        let one = kept.entry(id).or_insert_with(|| {
            tracing::info!(recording = %id, epoch, "a webinar begins");
            let now = Instant::now();
            Kept { webinar: Webinar::new(rules), pushed: now, heard: now, written: HashMap::new() }
        });
        one.change(id, epoch, |webinar| webinar.init(epoch, init))
    }

    pub(crate) fn part(&self, id: RecordingId, epoch: u32, part: Part) -> Result<(), Refused> {
        let mut kept = self.lock();
        make_room(&mut kept, self.most, part.bytes.len() as u64)?;
        kept.get_mut(&id).ok_or(Refused::Unknown)?.push(id, epoch, |webinar| webinar.part(epoch, part))
    }

    pub(crate) fn closed(&self, id: RecordingId, epoch: u32, closed: &SegmentClosed) -> Result<(), Refused> {
        self.lock().get_mut(&id).ok_or(Refused::Unknown)?.change(id, epoch, |webinar| webinar.closed(epoch, closed))
    }

    pub(crate) fn end(&self, id: RecordingId, epoch: u32) -> Result<(), Refused> {
        let mut kept = self.lock();
        let one = kept.get_mut(&id).ok_or(Refused::Unknown)?;
        one.change(id, epoch, |webinar| webinar.end(epoch))?;
        let ended = one.webinar.state() == State::Ended;
        tracing::info!(recording = %id, epoch, ended, "an epoch of a webinar ends");
        Ok(())
    }

    pub(crate) fn state(&self, id: RecordingId) -> State {
        self.lock().get_mut(&id).map_or(State::Waiting, |kept| kept.now().state())
    }

    /// What is shown, interrupted or not.
    pub(crate) fn live(&self) -> Vec<RecordingId> {
        let live = |kept: &mut Kept| matches!(kept.now().state(), State::Live | State::Interrupted);
        self.lock().iter_mut().filter_map(|(id, kept)| live(kept).then_some(*id)).collect()
    }

    pub(crate) fn multivariant(&self, id: RecordingId) -> Option<String> {
        self.lock().get_mut(&id)?.now().multivariant()
    }

    pub(crate) fn playlist(&self, id: RecordingId, rendition: &Rendition) -> Option<Bytes> {
        let mut kept = self.lock();
        let one = kept.get_mut(&id)?;
        one.now();
        if let Some(written) = one.written.get(rendition) {
            return Some(written.clone());
        }
        let text = Bytes::from(one.webinar.playlist(rendition)?);
        one.written.insert(rendition.clone(), text.clone());
        Some(text)
    }

    pub(crate) fn init_section(&self, id: RecordingId, rendition: &Rendition, epoch: u32) -> Option<Bytes> {
        self.lock().get(&id)?.webinar.init_section(rendition, epoch)
    }

    pub(crate) fn segment(&self, id: RecordingId, rendition: &Rendition, epoch: u32, n: u64) -> Option<Vec<Bytes>> {
        self.lock().get(&id)?.webinar.segment(rendition, epoch, n)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecordingId, Kept>> {
        // A panic in another request leaves every webinar as some push left it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The webinar as it is now: the playlist clock goes on when somebody looks at it.
    fn now(&mut self) -> &Webinar {
        if self.webinar.silent(self.heard.elapsed()) {
            self.written.clear();
        }
        &self.webinar
    }

    /// Takes what changes a playlist.
    fn change(
        &mut self,
        id: RecordingId,
        epoch: u32,
        push: impl FnOnce(&mut Webinar) -> Result<(), PushError>,
    ) -> Result<(), Refused> {
        self.written.clear();
        self.push(id, epoch, push)
    }

    /// Takes what changes no playlist, unless viewers go on with another epoch for it.
    fn push(
        &mut self,
        id: RecordingId,
        epoch: u32,
        push: impl FnOnce(&mut Webinar) -> Result<(), PushError>,
    ) -> Result<(), Refused> {
        self.pushed = Instant::now();
        let before = self.webinar.epoch();
        push(&mut self.webinar)?;
        let live = self.webinar.epoch();
        if live != before {
            tracing::info!(recording = %id, before, epoch = live, "viewers go on with another epoch");
            self.written.clear();
        }
        if epoch == before || epoch == live {
            self.heard = self.pushed;
        }
        Ok(())
    }
}

/// As long as a recorder may need to be replaced, with room to spare.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Frees `wanted` bytes: first webinars that nobody has pushed to for long, then the oldest minutes of the largest.
fn make_room(kept: &mut BTreeMap<RecordingId, Kept>, most: u64, wanted: u64) -> Result<(), Refused> {
    kept.retain(|id, one| {
        let stays = one.pushed.elapsed() < SILENCE.max(one.webinar.window());
        if !stays {
            tracing::info!(recording = %id, "a webinar is forgotten");
        }
        stays
    });
    let bytes = |kept: &BTreeMap<RecordingId, Kept>| kept.values().map(|one| one.webinar.bytes()).sum::<u64>();
    while bytes(kept) + wanted > most {
        let mut largest: Vec<&mut Webinar> = kept.values_mut().map(|one| &mut one.webinar).collect();
        largest.sort_unstable_by_key(|webinar| std::cmp::Reverse(webinar.bytes()));
        if !largest.into_iter().any(Webinar::forget_oldest) {
            return Err(Refused::Full);
        }
        kept.values_mut().for_each(|one| one.written.clear());
    }
    Ok(())
}
