//! The one loop of a recording: hears what happens, asks the session, performs what it wants, sleeps until it wants to be
//! woken. Nothing else in this service waits for a recording.

use std::time::Instant;

use session::{Action, Input, Outcome, Room, Session, State};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::effects::Effects;
use crate::telemetry;

/// Drives `session` to its end. `room` brings what is said about the room from outside, to whoever asks for the first
/// time; `stop` ends this worker.
pub(crate) async fn drive(
    (mut session, begin): (Session, Vec<Action>),
    mut effects: Effects,
    mut room: watch::Receiver<Option<Room>>,
    stop: CancellationToken,
) -> Outcome {
    begin.into_iter().for_each(|action| effects.perform(action));
    let (mut stopping, mut over) = (false, false);
    loop {
        if let State::Ended(outcome) = *session.state() {
            effects.settle(outcome, &stop).await;
            return outcome;
        }
        let input = tokio::select! {
            input = effects.next() => input,
            news = said(&mut room), if !over => {
                over = true;
                Input::Room(news)
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                Input::Shutdown
            }
            () = until(session.deadline()) => Input::Timeout,
        };
        let now = Instant::now();
        effects.note(&input, now);
        let from = *session.state();
        let actions = session.handle(input.clone(), now);
        if from.word() != session.state().word() {
            telemetry::moved(&input, &from, session.state());
            effects.moved(&from, session.state());
        }
        actions.into_iter().for_each(|action| effects.perform(action));
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What was said about the room, once. An end stays an end for epochs that begin later.
async fn said(room: &mut watch::Receiver<Option<Room>>) -> Room {
    loop {
        if let Some(news) = *room.borrow_and_update() {
            return news;
        }
        if room.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
