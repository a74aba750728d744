//! One publisher, received: a subscription of its own and a peer of its own, replaced for as long as the publisher is
//! there. Knows nothing of names; the roster says which streams are wanted and when to end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::message::{Id, Jsep, Subscribed};
use super::roster::Wanted;
use super::wire::{Handle, Session, WireError, Word};
use crate::outlet::Outlet;
use crate::peer::{PeerError, PeerEvent, RecvPeer};

/// No packet on any wanted stream for this long, while the publisher is said to be there: the path is dead (webrtcbin
/// 1.22 checks no consent). Doubled each time a new peer hears nothing either, since everyone may just be mute.
const STALL: Duration = Duration::from_secs(10);

/// The longest that a silent publisher is left before a new peer is tried.
const LONGEST_STALL: Duration = Duration::from_secs(300);

/// Between two peers for one publisher; doubled while they fail.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What every subscription in a room shares.
pub(super) struct Seat {
    pub(super) session: Session,
    pub(super) room: Id,
    pub(super) pin: Option<String>,
    /// Our own, for rooms that ask whose subscription it is (`require_pvtid`).
    pub(super) private_id: Option<u64>,
    pub(super) time: graph::Timebase,
}

/// A wanted stream and where its frames go.
pub(super) type Streams = Vec<(Wanted, Arc<Outlet>)>;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("signalling failed")]
    Wire(#[from] WireError),
    #[error("the peer failed")]
    Peer(#[from] PeerError),
    #[error("{0}")]
    Broke(String),
    #[error("the sender's certificate is not the one that Janus promised; its media was refused")]
    Forged,
    #[error("what is sent is encrypted end to end")]
    Encrypted,
    #[error("no media for {0:?}")]
    Stalled(Duration),
}

/// Receives `feed` until the other end of `wanted` is dropped, or what it sends turns out to be encrypted end to end:
/// then its id.
pub(super) async fn follow(seat: Arc<Seat>, feed: Id, mut wanted: watch::Receiver<Streams>) -> Option<Id> {
    let (mut pause, mut stall) = (FIRST_PAUSE, STALL);
    loop {
        let started = Instant::now();
        let failure = match receive(&seat, &feed, &mut wanted, stall).await {
            Ok(()) => return None,
            Err(Failure::Encrypted) => return Some(feed),
            Err(failure) => failure,
        };
        let heard = wanted.borrow().iter().any(|(_, outlet)| {
            let (silence, ever) = outlet.silence();
            ever && silence < started.elapsed()
        });
        if heard {
            (pause, stall) = (FIRST_PAUSE, STALL);
        }
        if matches!(failure, Failure::Stalled(_)) {
            stall = (stall * 2).min(LONGEST_STALL);
        }
        let why = in_full(&failure);
        tracing::warn!(?feed, why, again_in = ?pause, "a publisher is received anew");
        tokio::select! {
            () = sleep(pause) => {}
            () = dropped(&mut wanted) => return None,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The failure with its sources, on one line.
fn in_full(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut source = std::error::Error::source(failure);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

async fn dropped(wanted: &mut watch::Receiver<Streams>) {
    while wanted.changed().await.is_ok() {}
}

/// One subscription from its first offer to its end. Ok when nobody wants it any more.
async fn receive(
    seat: &Seat,
    feed: &Id,
    wanted: &mut watch::Receiver<Streams>,
    stall: Duration,
) -> Result<(), Failure> {
    let handle = seat.session.attach().await?;
    let peer = match RecvPeer::start("peer", &seat.time).await {
        Ok(peer) => peer,
        Err(error) => {
            handle.detach().await?;
            return Err(error.into());
        }
    };
    let mut subscription = Subscription { seat, feed, handle, peer, lines: HashMap::new() };
    let ended = subscription.run(wanted, stall).await;
    let Subscription { handle, peer, .. } = subscription;
    // Whatever happened, nothing is left behind; how that goes changes nothing for the publisher.
    let (stopped, detached) = tokio::join!(peer.stop(), handle.detach());
    if let Err(error) = stopped {
        tracing::error!(%error, "a peer does not stop");
    }
    if let Err(error) = detached {
        tracing::debug!(%error, "a subscription was not given back");
    }
    ended
}

struct Subscription<'a> {
    seat: &'a Seat,
    feed: &'a Id,
    handle: Handle,
    peer: RecvPeer,
    /// Which of the publisher's mids each of our lines carries.
    lines: HashMap<String, String>,
}

impl Subscription<'_> {
    async fn run(&mut self, wanted: &mut watch::Receiver<Streams>, stall: Duration) -> Result<(), Failure> {
        let streams = wanted.borrow_and_update().clone();
        let mut join = json!({
            "request": "join", "ptype": "subscriber", "room": self.seat.room,
            "streams": self.asked(streams.iter()), "autoupdate": true,
        });
        if let Some(pin) = &self.seat.pin {
            join["pin"] = json!(pin);
        }
        if let Some(id) = self.seat.private_id {
            join["private_id"] = json!(id);
        }
        let (notice, offer) = self.handle.ask(join, None).await?;
        self.negotiate(&notice.streams, offer, &streams).await?;

        let started = Instant::now();
        let mut look = interval(Duration::from_secs(1));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let streams = wanted.borrow_and_update().clone();
                    self.extend(&streams).await?;
                }
                event = self.peer.next() => match event {
                    PeerEvent::Candidate { mline, text } => self.handle.trickle(Some((mline, text))).await?,
                    PeerEvent::Gathered => self.handle.trickle(None).await?,
                    PeerEvent::Flowing { mid, ssrc } => tracing::debug!(feed = ?self.feed, mid, ssrc, "media flows"),
                    PeerEvent::KeyWanted { mid } => self.ask_for_key(&mid).await?,
                    PeerEvent::Forged => return Err(Failure::Forged),
                    PeerEvent::Broke(why) => return Err(Failure::Broke(why)),
                },
                word = self.handle.next() => match word {
                    Some(Word::Notice(notice, offer)) => {
                        let streams = wanted.borrow().clone();
                        self.negotiate(&notice.streams, offer, &streams).await?;
                    }
                    Some(Word::Candidate(Some(candidate))) => {
                        self.peer.candidate(candidate.mline, &candidate.candidate);
                    }
                    Some(Word::Candidate(None)) => {}
                    Some(Word::Hangup(why)) => return Err(Failure::Broke(format!("Janus hung up: {why}"))),
                    Some(Word::Detached) | None => return Err(WireError::Gone.into()),
                },
                _ = look.tick() => {
                    let silence = wanted.borrow().iter().map(|(_, outlet)| outlet.silence().0).min();
                    if silence.is_some_and(|silence| silence.min(started.elapsed()) > stall) {
                        return Err(Failure::Stalled(stall));
                    }
                }
            }
        }
    }

    /// Janus finds out which medium an RTCP packet is about from its receiver reports (`janus_rtcp_get_receiver_ssrc`),
    /// and webrtcbin's early PLI has none: it is dropped. Telling VideoRoom to send what it sends already asks the
    /// publisher for a key frame, by the plugin's own word.
    async fn ask_for_key(&self, mid: &str) -> Result<(), Failure> {
        let body = json!({"request": "configure", "streams": [{"mid": mid, "send": true}]});
        match self.handle.ask(body, None).await {
            // The line has just ended.
            Err(WireError::Refused(_)) => Ok(()),
            other => Ok(other.map(|_| ())?),
        }
    }

    /// Answers an offer, if there is one. An answer to `configure` has no streams: then the lines stay as they were.
    async fn negotiate(
        &mut self,
        streams: &[Subscribed],
        offer: Option<Jsep>,
        wanted: &Streams,
    ) -> Result<(), Failure> {
        if !streams.is_empty() {
            let carried = streams.iter().filter_map(|line| Some((line.mid.clone(), line.feed_mid.clone()?)));
            self.lines = carried.collect();
        }
        let Some(offer) = offer else { return Ok(()) };
        if offer.e2ee {
            return Err(Failure::Encrypted);
        }
        let sdp = self.peer.answer(&offer.sdp, &self.outlets(wanted)).await?;
        let start = json!({"request": "start", "room": self.seat.room});
        self.handle.ask(start, Some(Jsep { kind: "answer".into(), sdp, e2ee: false })).await?;
        Ok(())
    }

    /// Follows a change of what the publisher sends: new streams are subscribed to; what ended, Janus takes out itself.
    async fn extend(&mut self, wanted: &Streams) -> Result<(), Failure> {
        self.peer.rebind(&self.outlets(wanted));
        let new: Vec<_> =
            wanted.iter().filter(|(stream, _)| !self.lines.values().any(|mid| *mid == stream.mid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let streams = self.asked(new.into_iter());
        let (notice, offer) = self.handle.ask(json!({"request": "subscribe", "streams": streams}), None).await?;
        self.negotiate(&notice.streams, offer, wanted).await
    }

    fn asked<'s>(&self, streams: impl Iterator<Item = &'s (Wanted, Arc<Outlet>)>) -> Value {
        streams.map(|(stream, _)| json!({"feed": self.feed, "mid": stream.mid})).collect()
    }

    fn outlets(&self, wanted: &Streams) -> HashMap<String, Arc<Outlet>> {
        let outlet = |feed_mid: &String| wanted.iter().find(|(stream, _)| stream.mid == *feed_mid);
        let bound =
            self.lines.iter().filter_map(|(mid, feed_mid)| Some((mid.clone(), Arc::clone(&outlet(feed_mid)?.1))));
        bound.collect()
    }
}
