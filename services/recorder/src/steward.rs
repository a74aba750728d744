//! Looks every second at what is being recorded, and finds what nobody records: offered recordings, those whose holder has
//! gone silent, and those that this worker itself held before it died. Every recorder is a steward (DESIGN D2).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use claim::Watch;
use events::RecordingId;
use storage::recordings::{self, Found};
use storage::{RecordingPath, StoreError};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::take::Desk;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// A worker that could not record something leaves it to others for so long.
const SHY: Duration = Duration::from_secs(60);

/// What this worker had to give up, and when.
#[derive(Debug, Default)]
pub(crate) struct Shy(Mutex<HashMap<RecordingId, Instant>>);

impl Shy {
    pub(crate) fn of(&self, recording: RecordingId) {
        self.lock().insert(recording, Instant::now());
    }

    fn is_of(&self, recording: RecordingId) -> bool {
        let mut given_up = self.lock();
        given_up.retain(|_, since| since.elapsed() < SHY);
        given_up.contains_key(&recording)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RecordingId, Instant>> {
        // A map of times cannot be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until told to stop. What is to be taken goes to `due`, again and again while nobody takes it.
pub(crate) async fn look_after(desk: &Desk, due: &mpsc::Sender<Found>) {
    desk.stop
        .run_until_cancelled(async {
            let (mut watch, mut blind) = (Watch::default(), false);
            let mut tick = interval(LOOK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                match look(desk, &mut watch).await {
                    Ok(found) => {
                        blind = false;
                        for found in found {
                            // Full: every slot is taken, and it is found again.
                            let _ = due.try_send(found);
                        }
                    }
                    Err(why) => {
                        watch.blind();
                        if !std::mem::replace(&mut blind, true) {
                            warn!(error = &why as &dyn std::error::Error, "cannot see what is being recorded");
                        }
                    }
                }
            }
        })
        .await;
}

async fn look(desk: &Desk, watch: &mut Watch) -> Result<Vec<Found>, StoreError> {
    let open = recordings::open(&desk.store, &desk.tenant).await?;
    let due = watch.look(open.iter().map(|(_, record, etag)| (record, etag.as_str())), Instant::now());
    let wanted = |found: &Found| due.contains(&found.1.recording) && !desk.shy.is_of(found.1.recording);
    Ok(open.into_iter().filter(wanted).collect())
}

/// What an earlier process with this spool held when it died, and still does by the record.
pub(crate) async fn left_behind(desk: &Desk) -> Vec<Found> {
    let mut left = Vec::new();
    for note in desk.notes.left() {
        let path: RecordingPath = note.path();
        match recordings::state(&desk.store, &path).await {
            Ok((record, etag)) if record.phase.open() && record.owner == note.owner => {
                info!(recording = %record.recording, epoch = record.epoch, "this worker held it when it died");
                left.push((path, record, etag));
            }
            Ok(_) | Err(StoreError::Missing { .. }) => desk.notes.forget(&note),
            Err(why) => warn!(error = &why as &dyn std::error::Error, "a recording of an earlier run cannot be seen"),
        }
    }
    left
}
