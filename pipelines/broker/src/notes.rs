//! What a service must still know when it starts anew, where it has no disk and no database of its own: one message in a
//! durable queue that holds the newest only.

use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicNackOptions};
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::error::Error;
use crate::link::{Letter, Link};
use crate::signature::Purpose;
use crate::topology;
use crate::{Broker, PATIENCE};

/// RabbitMQ 3.10 never answers a `basic.get` that comes in the moment after its start when the queue has no leader yet.
const TURN: Duration = Duration::from_secs(3);
const KIND: &str = "a note";

impl Broker {
    /// Writes `note` down in place of the one before; returns once a majority of the broker has it on disk. One writer
    /// at a time for each `name`.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn keep(&self, name: &str, note: &[u8]) -> Result<(), Error> {
        let properties = self.properties(Purpose::Note, "note", note);
        let letter = Letter { exchange: "", key: name, mandatory: true, message: note, properties };
        match self.send(KIND, &letter).await {
            // The broker lost its disk, or nobody has asked before.
            Err(Error::Unroutable { .. }) => {
                self.notebook(name, false).await?;
                self.send(KIND, &letter).await
            }
            sent => sent,
        }
    }

    /// The newest note; None when there is none, or none of ours. It stays where it is; to be written anew by whoever
    /// goes on with it.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.notebook(name, true).await
    }

    /// Opens the queue, on the link there is or on the next one, until the broker's time is up.
    async fn notebook(&self, name: &str, read: bool) -> Result<Option<Vec<u8>>, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            let Ok(link) = timeout_at(deadline, self.link()).await else { return Err(self.unreachable(last)) };
            match timeout_at(deadline.min(Instant::now() + TURN), self.open(&link, name, read)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => {
                    last = Some(error.into());
                    // Its successor declares everything anew, after a pause.
                    link.broken.cancel();
                }
                // Asked anew on another channel.
                Err(late) if Instant::now() < deadline => last = Some(late.into()),
                Err(late) => return Err(self.unreachable(Some(late.into()))),
            }
        }
    }

    async fn open(&self, link: &Link, name: &str, read: bool) -> lapin::Result<Option<Vec<u8>>> {
        let channel = link.channel().await?;
        topology::note(&channel, name).await?;
        if !read {
            return Ok(None);
        }
        let Some(got) = channel.basic_get(name.into(), BasicGetOptions::default()).await? else { return Ok(None) };
        let note = got.delivery;
        // Back to where it was; so it goes by itself when we are killed right here. RabbitMQ 4 drops what comes back
        // twenty times, so a reader writes it anew when it has taken it up.
        note.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await?;
        if self.keys().verify(Purpose::Note, &note.data, note.properties.headers().as_ref()).is_err() {
            // Nobody else reads it; the next that is written takes its place.
            error!(name, "a note is not signed with our key, and is not believed");
            return Ok(None);
        }
        Ok(Some(note.data))
    }
}
