//! Janus' VideoRoom: joins as a publisher who publishes nothing, named by the recording sign, and subscribes to each
//! publisher on a handle of its own.
//!
//! # Design
//! * One subscription and one peer connection per publisher (DESIGN D8): a line that Janus would otherwise reuse for
//!   somebody else is a trap of webrtcbin 1.22, and one broken publisher takes nobody with it.
//! * Janus has no recorder role: the display name is the sign, and [`join`] believes it only when the room's own list
//!   of participants shows it (DESIGN D16).
//! * Janus tells of a moderator's mute but not of a publisher's own. A camera or microphone from which no packet comes
//!   for 2 s is reported as muted, a screen never: a slide that stands still is not sent.
//! * What is encrypted end to end is noise to a recorder. Whether a room takes nothing else stands in the server's list,
//!   which private rooms are not in; of a publisher, the offer says it, where the server passes that on.
//! * People without media are known where the room has `notify_joining`; Janus tells of nobody else.

mod door;
mod feed;
mod message;
mod refusal;
mod roster;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::door::loss;
use self::feed::{Seat, Streams};
use self::message::{Id, Notice};
use self::roster::{Roster, Step, Wanted};
use self::wire::{Handle, Link, Session, Word};
use crate::names::clean_name;
use crate::outlet::Outlet;
use crate::{Event, JanusServer, JoinSpec, Loss, Routes};

/// A camera or microphone is mute when nothing came for this long.
const MUTE: Duration = Duration::from_secs(2);

/// Before its first packet it is given longer: the connection is being made.
const FIRST_PACKET: Duration = Duration::from_secs(5);

/// How often silence is looked for.
const LOOK: Duration = Duration::from_millis(250);

/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// A joined room, to be [run](Room::run).
pub(crate) struct Room {
    control: Handle,
    link: Link,
    seat: Arc<Seat>,
    roster: Roster,
    routes: Routes,
    /// Whom we receive, by feed; dropping a sender ends that reception.
    feeds: HashMap<Id, watch::Sender<Streams>>,
    receptions: JoinSet<Option<Id>>,
    events: mpsc::UnboundedSender<Event>,
    awake: mpsc::UnboundedSender<media::TrackId>,
    woken: mpsc::UnboundedReceiver<media::TrackId>,
    first: Notice,
}

/// Whether the room goes on.
enum Fate {
    Goes,
    Ends(Event),
}

/// Connects to `server`, asks who it is and whether it takes our secret, and leaves.
pub(crate) async fn check(server: &JanusServer) -> Result<(), Loss> {
    let secret = match &server.api_secret_file {
        None => None,
        Some(file) => Some(tokio::fs::read_to_string(file).await.map_err(|error| {
            Loss::Refused(format!("the API secret cannot be read from {}: {error}", file.display()))
        })?),
    };
    let lost = |error| loss(error, false);
    let (mut session, _link) = Session::connect(&server.url, secret.as_deref().map(str::trim)).await.map_err(lost)?;
    session.create().await.map_err(lost)?;
    let handle = session.attach().await.map_err(lost)?;
    handle.detach().await.map_err(lost)?;
    session.destroy().await.map_err(lost)
}

/// Joins the room of `spec`. Tells `Joined` before it returns, and nothing else.
pub(crate) async fn join(
    server: &JanusServer,
    spec: &JoinSpec,
    time: graph::Timebase,
    events: mpsc::UnboundedSender<Event>,
    routes: Routes,
) -> Result<Room, Loss> {
    if server.sign.trim().is_empty() {
        return Err(Loss::Refused("nobody records without a sign; give the server a `sign`".into()));
    }
    let lost = |error| loss(error, spec.pin.is_some());
    let (mut session, link) = Session::connect(&server.url, spec.api_secret.as_deref()).await.map_err(lost)?;
    session.create().await.map_err(lost)?;
    let control = session.attach().await.map_err(lost)?;
    if door::takes_only_encrypted(&control, &spec.room).await.map_err(lost)? {
        return Err(Loss::Encrypted);
    }
    let (room, first) = door::enter(&control, spec, &server.sign).await.map_err(lost)?;
    if !door::shows_sign(&control, &room, &first, &server.sign).await.map_err(lost)? {
        return Err(Loss::Refused(
            "it does not show the recording sign to its participants; nothing is recorded".into(),
        ));
    }
    let title = first.description.as_deref().filter(|title| !title.is_empty()).map(clean_name);
    // Nobody listens: the caller learns of it when it is ready to.
    let _ = events.send(Event::Joined { title });
    let seat = Seat { session, room, pin: spec.pin.clone(), private_id: first.private_id, time };
    let (awake, woken) = mpsc::unbounded_channel();
    Ok(Room {
        control,
        link,
        seat: Arc::new(seat),
        roster: Roster::new(server.screen.clone(), server.sign.clone()),
        routes,
        feeds: HashMap::new(),
        receptions: JoinSet::new(),
        events,
        awake,
        woken,
        first,
    })
}

impl Room {
    /// Follows the room until it ends, is lost, or `leave` is cancelled; then lets go of everything.
    pub(crate) async fn run(mut self, leave: CancellationToken) {
        let first = std::mem::take(&mut self.first);
        self.follow(first);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let fate = tokio::select! {
                () = leave.cancelled() => {
                    self.say_goodbye().await;
                    break;
                }
                word = self.control.next() => self.hear(word),
                Some(track) = self.woken.recv() => {
                    let event = self.roster.silence(&track, false);
                    self.tell_all(event);
                    Fate::Goes
                }
                Some(ended) = self.receptions.join_next() => match ended {
                    Ok(None) => Fate::Goes,
                    Ok(Some(encrypted)) => {
                        self.leave_out(&encrypted);
                        Fate::Goes
                    }
                    Err(error) => {
                        tracing::error!(%error, "receiving a publisher came to a bad end");
                        Fate::Goes
                    }
                },
                _ = look.tick() => {
                    self.look_for_silence();
                    Fate::Goes
                }
            };
            if let Fate::Ends(last) = fate {
                self.tell(last);
                break;
            }
        }
        self.feeds.clear();
        let rest = async { while self.receptions.join_next().await.is_some() {} };
        if timeout(FAREWELL, rest).await.is_err() {
            tracing::warn!("some receptions do not end; they are cut off");
        }
        drop(self.link);
    }

    /// What a word on our own handle means.
    fn hear(&mut self, word: Option<Word>) -> Fate {
        match word {
            Some(Word::Notice(notice, _)) => {
                if notice.videoroom == "destroyed" {
                    return Fate::Ends(Event::Ended);
                }
                // Only our own removal is `leaving: ok` with this reason; others are `kicked: id`.
                if notice.leaving == Some(Id::Text("ok".into())) && notice.reason.as_deref() == Some("kicked") {
                    return Fate::Ends(Event::Removed);
                }
                self.follow(*notice);
                Fate::Goes
            }
            // We have no peer connection of our own.
            Some(Word::Candidate(_) | Word::Hangup(_)) => Fate::Goes,
            Some(Word::Detached) => Fate::Ends(lost("Janus has taken the recorder's handle away")),
            None => Fate::Ends(lost("the connection to Janus is gone")),
        }
    }

    fn follow(&mut self, notice: Notice) {
        let steps = self.roster.hear(notice);
        self.take(steps);
    }

    /// What `feed` sends is encrypted end to end, so nobody is told of it. The room goes on, whoever else is in it: one
    /// stranger with such a browser must not end a lecture's recording, nor one that comes first begin none.
    fn leave_out(&mut self, feed: &Id) {
        // Else they have left, or send anew and are received anew.
        if !self.feeds.get(feed).is_some_and(watch::Sender::is_closed) {
            return;
        }
        tracing::warn!(?feed, "a publisher encrypts end to end and is left out");
        let steps = self.roster.hide(feed);
        self.take(steps);
    }

    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Tell(event) => {
                    if let Event::Untrack(track) = &event {
                        self.routes.remove(track);
                    }
                    self.tell(event);
                }
                Step::Receive(feed, wanted) => self.receive(feed, wanted),
            }
        }
    }

    /// Starts, changes or ends the reception of one publisher.
    fn receive(&mut self, feed: Id, wanted: Vec<Wanted>) {
        if wanted.is_empty() {
            self.feeds.remove(&feed);
            return;
        }
        let streams: Streams = wanted
            .into_iter()
            .map(|stream| {
                let outlet = self.routes.get(&stream.track).unwrap_or_else(|| {
                    let outlet = Arc::new(Outlet::new(stream.track.clone(), stream.codec, self.awake.clone()));
                    self.routes.insert(stream.track.clone(), Arc::clone(&outlet));
                    outlet
                });
                (stream, outlet)
            })
            .collect();
        match self.feeds.get(&feed) {
            // It listens for as long as we hold the sender.
            Some(reception) => drop(reception.send_replace(streams)),
            None => {
                let (reception, wanted) = watch::channel(streams);
                self.receptions.spawn(feed::follow(Arc::clone(&self.seat), feed.clone(), wanted));
                self.feeds.insert(feed, reception);
            }
        }
    }

    fn look_for_silence(&mut self) {
        let mut silent = Vec::new();
        for reception in self.feeds.values() {
            for (stream, outlet) in reception.borrow().iter() {
                let (silence, ever) = outlet.silence();
                if !stream.may_rest && silence > if ever { MUTE } else { FIRST_PACKET } {
                    outlet.watch();
                    silent.push(stream.track.clone());
                }
            }
        }
        for track in silent {
            let event = self.roster.silence(&track, true);
            self.tell_all(event);
        }
    }

    async fn say_goodbye(&mut self) {
        self.feeds.clear();
        let farewell = async {
            self.control.ask(json!({"request": "leave"}), None).await?;
            self.seat.session.destroy().await
        };
        // The session ends with the connection anyway.
        if let Ok(Err(error)) = timeout(FAREWELL, farewell).await {
            tracing::debug!(%error, "Janus did not say goodbye");
        }
    }

    fn tell_all(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.tell(event);
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more: the meeting is about to be left.
        let _ = self.events.send(event);
    }
}

fn lost(why: &str) -> Event {
    Event::Lost(Loss::Unreachable(why.to_owned()))
}
