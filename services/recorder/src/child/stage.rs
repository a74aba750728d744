//! The room and the pipeline of this process, and what joins them: which track goes where, and when. Does as it is told.
//!
//! A picture is asked of the meeting only while a tile shows it: what is not shown is not decoded, and when it is shown
//! again its route is made anew, which asks the sender for a key frame.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use compositor::Compositor;
use graph::Timebase;
use layout::Scene;
use media::{Kind, Output, PipelineSpec, Track, TrackId};
use meeting::{JoinSpec, Loss, Meeting};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::wire::{Command, Report};

/// Leaving and stopping, once nobody commands any more. Shorter than the worker's own patience.
const GOODBYE: Duration = Duration::from_secs(4);

/// The room we are in or on the way to.
enum Place {
    Nowhere,
    OnTheWay(u32, AbortOnDropHandle<Result<Meeting, Loss>>, UnboundedReceiver<meeting::Event>),
    There(u32, Meeting, UnboundedReceiver<meeting::Event>),
}

pub(super) struct Stage {
    time: Timebase,
    place: Place,
    compositor: Option<(Compositor, UnboundedReceiver<compositor::Event>)>,
    /// What came out before the pipeline said that it plays.
    early: Option<Vec<Report>>,
    tracks: HashMap<TrackId, Track>,
    shown: BTreeSet<TrackId>,
    leaving: JoinSet<()>,
}

impl Stage {
    pub(super) fn new(time: Timebase) -> Self {
        Self {
            time,
            place: Place::Nowhere,
            compositor: None,
            early: Some(Vec::new()),
            tracks: HashMap::new(),
            shown: BTreeSet::new(),
            leaving: JoinSet::new(),
        }
    }

    pub(super) fn obey(&mut self, command: Command) -> Vec<Report> {
        match command {
            Command::Join { number, spec } => self.join(number, *spec),
            Command::Leave => self.leave(),
            Command::Start(spec) => return self.start(&spec),
            Command::AddTrack(track) => self.add(track),
            Command::DropTrack(id) => self.drop_track(&id),
            Command::Arrange(scene) => self.arrange(&scene),
            Command::Drain => {
                if let Some((compositor, _)) = &self.compositor {
                    compositor.drain();
                }
            }
        }
        Vec::new()
    }

    fn join(&mut self, number: u32, spec: JoinSpec) {
        self.leave();
        let (tell, events) = mpsc::unbounded_channel();
        let joining = tokio::spawn(meeting::join(spec, self.time.clone(), tell));
        self.place = Place::OnTheWay(number, AbortOnDropHandle::new(joining), events);
    }

    fn leave(&mut self) {
        if let Place::There(_, meeting, _) = std::mem::replace(&mut self.place, Place::Nowhere) {
            self.leaving.spawn(meeting.leave());
        }
    }

    fn start(&mut self, spec: &PipelineSpec) -> Vec<Report> {
        let (tell, events) = mpsc::unbounded_channel();
        match Compositor::start(spec, &self.time, tell) {
            Ok(compositor) => {
                self.compositor = Some((compositor, events));
                Vec::new()
            }
            // Missing elements and settings that cannot be encoded: the same for every room.
            Err(error) => vec![Report::Broke { worker: true, why: error.to_string() }],
        }
    }

    fn add(&mut self, track: Track) {
        let Some((compositor, _)) = &self.compositor else { return };
        match compositor.add_track(&track) {
            Ok(sink) if track.codec.kind() == Kind::Audio => {
                if let Place::There(_, meeting, _) = &self.place {
                    meeting.route(&track.id, sink);
                }
            }
            Ok(_) => {}
            Err(error) => warn!(%error, track = %track.id, "not added"),
        }
        self.tracks.insert(track.id.clone(), track);
    }

    fn drop_track(&mut self, id: &TrackId) {
        self.tracks.remove(id);
        self.shown.remove(id);
        if let Place::There(_, meeting, _) = &self.place {
            meeting.unroute(id);
        }
        if let Some((compositor, _)) = &self.compositor {
            compositor.drop_track(id);
        }
    }

    fn arrange(&mut self, scene: &Scene) {
        let Some((compositor, _)) = &self.compositor else { return };
        compositor.arrange(scene);
        let shown: BTreeSet<TrackId> = scene.tiles.iter().filter_map(|tile| tile.track.clone()).collect();
        if let Place::There(_, meeting, _) = &self.place {
            for hidden in self.shown.difference(&shown) {
                meeting.unroute(hidden);
            }
            for track in shown.difference(&self.shown).filter_map(|id| self.tracks.get(id)) {
                match compositor.add_track(track) {
                    Ok(sink) => meeting.route(&track.id, sink),
                    Err(error) => warn!(%error, track = %track.id, "not shown"),
                }
            }
        }
        self.shown = shown;
    }

    /// The next thing that happens in the room or in the pipeline. Cancel-safe.
    pub(super) async fn happens(&mut self) -> Vec<Report> {
        tokio::select! {
            report = in_the_room(&mut self.place) => vec![report],
            event = in_the_pipeline(&mut self.compositor) => self.heard(event),
            Some(_) = self.leaving.join_next() => Vec::new(),
        }
    }

    fn heard(&mut self, event: compositor::Event) -> Vec<Report> {
        let report = match event {
            compositor::Event::Playing { wall } => {
                let early = self.early.take().unwrap_or_default();
                return std::iter::once(Report::Playing { wall }).chain(early).collect();
            }
            compositor::Event::Output(Output::Init(init)) => Report::Init(init),
            compositor::Event::Output(Output::Part(part)) => Report::Part(part),
            compositor::Event::Output(Output::Closed(closed)) => Report::Closed(closed),
            compositor::Event::TrackBroke { track, why } => {
                warn!(%track, why, "track given up");
                Report::TrackBroke(track)
            }
            compositor::Event::Drained => Report::Drained,
            compositor::Event::Broke { why } => return vec![Report::Broke { worker: false, why }],
        };
        match &mut self.early {
            // The pipeline's threads and its control thread tell by one channel, but not in one order.
            Some(early) => early.push(report),
            None => return vec![report],
        }
        Vec::new()
    }

    /// Leaves the room and stops the pipeline, for as long as there is patience.
    pub(super) async fn end(mut self) {
        self.leave();
        let compositor = self.compositor.take();
        self.leaving.spawn_blocking(|| drop(compositor));
        let all = async { while self.leaving.join_next().await.is_some() {} };
        if tokio::time::timeout(GOODBYE, all).await.is_err() {
            warn!("not everything could be taken down; ending all the same");
        }
    }
}

/// Nothing of an attempt is told before it has succeeded, so that what is told can be acted on.
async fn in_the_room(place: &mut Place) -> Report {
    loop {
        match place {
            Place::Nowhere => std::future::pending().await,
            Place::OnTheWay(number, joining, _) => {
                let number = *number;
                let joined = joining.await.unwrap_or_else(|died| Err(Loss::Broken(died.to_string())));
                match (joined, std::mem::replace(place, Place::Nowhere)) {
                    (Ok(meeting), Place::OnTheWay(_, _, events)) => *place = Place::There(number, meeting, events),
                    (Ok(_), _) => {}
                    (Err(loss), _) => return Report::Meeting { number, event: meeting::Event::Lost(loss) },
                }
            }
            Place::There(number, _, events) => match events.recv().await {
                Some(event) => return Report::Meeting { number: *number, event },
                None => *place = Place::Nowhere,
            },
        }
    }
}

async fn in_the_pipeline(
    compositor: &mut Option<(Compositor, UnboundedReceiver<compositor::Event>)>,
) -> compositor::Event {
    match compositor {
        Some((_, events)) => match events.recv().await {
            Some(event) => event,
            // The compositor tells why before it is gone.
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
