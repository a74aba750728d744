//! Hears who records, and what was stopped, and says again what a worker may have come too late for.

use broker::Delivery;
use events::{Body, RecordingId};
use time::OffsetDateTime;
use tracing::{info, warn};

use super::Watch;
use crate::past::Recorder;

impl Watch {
    /// Takes in one message of the desk. It is settled when what follows from it is told and written down.
    pub(super) async fn attend(&mut self, delivery: Delivery) {
        let meta = &delivery.event.meta;
        let answered = if meta.tenant != self.tenant {
            delivery.park("wrong-tenant").await
        } else {
            if meta.instance == self.server.instance {
                match &delivery.event.body {
                    Body::RecordingStopped(stop) => {
                        self.rooms.stopped(&meta.room, &meta.session, stop, OffsetDateTime::now_utc());
                        self.remember().await;
                    }
                    Body::RecorderJoined(joined) => self.repeat(&delivery, joined.recording).await,
                    Body::RecordingStarted(started) => self.repeat(&delivery, started.recording).await,
                    // The desk is bound to no other.
                    _ => {}
                }
            }
            delivery.settle().await
        };
        if let Err(error) = answered {
            warn!(%error, "a message for the bridge was not settled; it comes again");
        }
    }

    async fn repeat(&mut self, delivery: &Delivery, recording: RecordingId) {
        let meta = &delivery.event.meta;
        let (room, session, told_by) = (meta.room.clone(), meta.session.clone(), meta.id.clone());
        let again = self.rooms.again(&self.tenant, &Recorder { room, session, recording, told_by });
        if !again.is_empty() {
            info!(%recording, room = %meta.room, "it is over, and its recorder is told so again");
            self.tell(again).await;
        }
    }
}
