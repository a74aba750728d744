//! What people asked to have recorded and what waits for its room. Pure but for [`deal`]: clock readings in, wishes out.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::{Consumer, Delivery};
use events::{Body, Event, PolicyId, RoomId, TenantId};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tracing::warn;

/// How long a wish waits for its room to open. What begins later is another lecture.
pub const KEPT: Duration = Duration::from_secs(10 * 60);
/// Before a wish for a server that another bridge watches goes back to the queue that all bridges share.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody's wish; `carrier` is the message it came in, held until it is answered.
#[derive(Debug)]
pub struct Wish<T> {
    /// Of the message; a message that comes again replaces what is held of it.
    id: String,
    pub room: RoomId,
    pub policy: Option<PolicyId>,
    pub requested_by: String,
    pub since: OffsetDateTime,
    /// The room was looked at since, and was not open.
    looked_for: bool,
    pub carrier: T,
}

impl<T> Wish<T> {
    /// None when `event` is none. A clock that is ahead makes no wish younger than `now`.
    pub fn read(event: &Event, carrier: T, now: OffsetDateTime) -> Option<Self> {
        let Body::RecordingWanted(wanted) = &event.body else { return None };
        Some(Self {
            id: event.meta.id.clone(),
            room: event.meta.room.clone(),
            policy: wanted.policy.clone(),
            requested_by: wanted.requested_by.clone(),
            since: event.meta.moment().map_or(now, |moment| moment.min(now)),
            looked_for: false,
            carrier,
        })
    }

    #[must_use]
    pub fn is_overdue(&self, now: OffsetDateTime) -> bool {
        now - self.since > KEPT
    }
}

/// The wishes for one server's rooms that are not answered yet.
#[derive(Debug)]
pub struct Wishes<T>(Vec<Wish<T>>);

impl<T> Default for Wishes<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Wishes<T> {
    /// Gives back what it replaces: earlier copies of the same message, which are done with.
    #[must_use]
    pub fn hold(&mut self, wish: Wish<T>) -> Vec<Wish<T>> {
        let replaced = self.0.extract_if(.., |held| held.id == wish.id).collect();
        self.0.push(wish);
        replaced
    }

    /// The rooms that are waited for.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.0.iter().map(|wish| &wish.room)
    }

    /// Whether a look at the server is worth it: a wish is new, or its room is among those `running`.
    pub fn press(&self, running: impl Fn(&RoomId) -> bool) -> bool {
        self.0.iter().any(|wish| !wish.looked_for || running(&wish.room))
    }

    /// The server was looked at; what is still held waits for news.
    pub fn looked(&mut self) {
        self.0.iter_mut().for_each(|wish| wish.looked_for = true);
    }

    /// Gives out the wishes that are `ready`, the earliest first.
    pub fn take(&mut self, ready: impl Fn(&Wish<T>) -> bool) -> Vec<Wish<T>> {
        self.0.extract_if(.., |wish| ready(wish)).collect()
    }
}

/// Deals wishes out to the watches of their servers, until the consumer ends.
pub(crate) async fn deal(mut wanted: Consumer, tenant: TenantId, desks: BTreeMap<String, mpsc::Sender<Delivery>>) {
    while let Some(delivery) = wanted.next().await {
        let meta = &delivery.event.meta;
        let now = OffsetDateTime::now_utc();
        let old = meta.moment().is_some_and(|moment| now - moment > KEPT);
        let desk = desks.get(&meta.instance);
        let answered = match (&delivery.event.body, desk) {
            (Body::RecordingWanted(_), _) if meta.tenant != tenant => delivery.park("wrong-tenant").await,
            (Body::RecordingWanted(_), Some(desk)) => {
                // A watch that has ended is told to stop, and the message goes back.
                let _ = desk.send(delivery).await;
                Ok(())
            }
            (Body::RecordingWanted(_), None) if old => delivery.park("unknown-instance").await,
            (Body::RecordingWanted(_), None) => {
                tokio::time::sleep(PAUSE).await;
                delivery.give_back().await
            }
            _ => delivery.park("not-for-bridges").await,
        };
        if let Err(error) = answered {
            warn!(%error, "a wish was not put away; it comes again");
        }
    }
}
