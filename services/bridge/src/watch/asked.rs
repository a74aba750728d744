//! Answers people who want a recording: with a request by the rule that lets them, or with a warning in the log.

use std::collections::BTreeMap;

use broker::Delivery;
use events::{Body, RoomId, SessionId};
use time::OffsetDateTime;
use tracing::{info, warn};

use super::{PATIENCE, Watch};
use crate::janus::VisitError;
use crate::rooms::Tiding;
use crate::wishes::Wish;

impl Watch {
    /// Takes in one wish. What no title could help is refused here, though the room may not be open.
    pub(super) async fn want(&mut self, delivery: Delivery) {
        let event = delivery.event.clone();
        let Some(wish) = Wish::read(&event, delivery, OffsetDateTime::now_utc()) else { return };
        match self.policy.may_ask(&self.server.instance, &wish.room, wish.policy.as_ref()) {
            Ok(()) => {
                for copy in self.wishes.hold(wish) {
                    settle(copy).await;
                }
            }
            Err(refusal) => {
                warn!(room = %wish.room, %refusal, "a recording was asked for and is refused");
                settle(wish).await;
            }
        }
    }

    /// Answers the wishes for rooms that are open, by what a look at the server has told.
    pub(super) async fn answer(&mut self, seen: &Result<BTreeMap<RoomId, String>, VisitError>, now: OffsetDateTime) {
        let rooms = &self.rooms;
        let patient = |wish: &Wish<Delivery>| seen.is_err() && now - wish.since <= PATIENCE;
        let ready = self.wishes.take(|wish| !wish.is_overdue(now) && rooms.runs(&wish.room) && !patient(wish));
        if seen.is_ok() {
            self.wishes.looked();
        }
        for wish in ready {
            let title = seen.as_ref().ok().and_then(|titles| titles.get(&wish.room)).map(String::as_str);
            if let Some(session) = self.rooms.session(&wish.room).cloned() {
                self.grant(wish, session, title).await;
            }
        }
    }

    /// Gives up on rooms that did not open in time, and on what was asked while no bridge ran.
    pub(super) async fn forgo(&mut self, now: OffsetDateTime) {
        for wish in self.wishes.take(|wish| wish.is_overdue(now)) {
            warn!(room = %wish.room, "a recording was asked for ten minutes ago and could not begin since; ask again when the room is open");
            settle(wish).await;
        }
    }

    async fn grant(&mut self, wish: Wish<Delivery>, session: SessionId, title: Option<&str>) {
        let room = wish.room.clone();
        let policy = self.policy.clone();
        match policy.ask(&self.server.instance, &room, title, wish.policy.as_ref()) {
            Ok(rule) => {
                info!(%room, %session, policy = %rule.id, "somebody asked; asking for a recording");
                let body = Body::RecordingRequested(rule.request(&wish.requested_by));
                // The same for every wish of this run, so that recorders drop the second.
                let sequence = rule.id.to_string();
                if !self.tell(vec![Tiding { room, session, sequence, body }]).await {
                    if let Err(error) = wish.carrier.fail().await {
                        warn!(%error, "a wish could not be returned; it comes again");
                    }
                    return;
                }
                self.rooms.recorded(&wish.room);
                self.remember().await;
            }
            Err(refusal) => warn!(%room, %session, %refusal, "a recording was asked for and is refused"),
        }
        settle(wish).await;
    }
}

async fn settle(wish: Wish<Delivery>) {
    if let Err(error) = wish.carrier.settle().await {
        // It comes again, and is answered alike.
        warn!(%error, "a wish could not be settled");
    }
}
