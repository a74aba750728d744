//! A worker's line to the broker: there as soon as there is a broker, and until the last recording has come to its end.
//! What is said about a room is heard through it; what a recording has to tell goes out. Decides nothing about recordings.

use std::sync::Arc;

use broker::{Broker, Consumer};
use events::{Body, Event, Meta, PolicyId, Verdict};
use futures_util::future::BoxFuture;
use session::Room;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clerk::Herald;
use crate::worker::Shop;

/// The broker, as soon as there is one: recordings go on without.
#[derive(Debug, Clone)]
pub(crate) struct Line(watch::Receiver<Option<Broker>>);

impl Line {
    pub(crate) fn new(connected: watch::Receiver<Option<Broker>>) -> Self {
        Self(connected)
    }

    pub(crate) async fn broker(&self) -> Broker {
        let mut line = self.0.clone();
        match line.wait_for(Option::is_some).await.map(|broker| broker.clone()) {
            Ok(Some(broker)) => broker,
            // There will be none any more: this worker ends.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

impl Herald for Line {
    fn tell<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), broker::Error>> {
        Box::pin(async move { self.broker().await.publish(event).await })
    }
}

/// Connects, and keeps the connection until `hang_up`. A broker that will not have us ends the service by `stop`, which
/// does not end the connection: a recording that is handed over still has to hear of its room.
pub(crate) async fn connect(
    config: broker::Config,
    connected: watch::Sender<Option<Broker>>,
    stop: CancellationToken,
    hang_up: CancellationToken,
) -> anyhow::Result<Option<Broker>> {
    match Broker::connect(&config, hang_up.clone()).await {
        Ok(broker) => {
            connected.send_replace(Some(broker.clone()));
            hang_up.cancelled().await;
            Ok(Some(broker))
        }
        Err(broker::Error::Stopped) => Ok(None),
        Err(why) => {
            stop.cancel();
            Err(why.into())
        }
    }
}

/// Hears what is said about the room, for as long as anybody wants to know.
pub(crate) async fn listen(
    shop: Arc<Shop>,
    mut news: Consumer,
    (meta, policy): (Meta, PolicyId),
    tell: watch::Sender<Option<Room>>,
) {
    while let Some(delivery) = news.next().await {
        let told = about(&meta, &policy, &delivery.event);
        let fresh = told.is_some() && shop.desk.admit(&delivery.event) == Verdict::Fresh;
        // Unsettled, it would come again, and be a repeat.
        let _ = delivery.settle().await;
        if let (Some(told), true) = (told, fresh)
            && tell.send(Some(told)).is_err()
        {
            return;
        }
    }
}

/// What an event says to the recording of `policy` in the room run of `meta`.
pub(crate) fn about(meta: &Meta, policy: &PolicyId, heard: &Event) -> Option<Room> {
    let same = (&heard.meta.tenant, &heard.meta.session) == (&meta.tenant, &meta.session);
    match &heard.body {
        Body::RoomEnded(_) if same => Some(Room::Ended),
        Body::RecordingStopped(stop) if same && stop.policy == *policy => Some(Room::StopRequested),
        _ => None,
    }
}
