//! State changes that cannot hang their caller.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use gstreamer::prelude::*;
use gstreamer::{ClockTime, Element, State};

/// An element did not come to the state it was sent to.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{element} refused to become {state:?}; the element's own error on the bus says why")]
    Refused { element: String, state: State },
    #[error("{element} was not {state:?} after {within:?} and is left behind; restart the process to be rid of it")]
    Late { element: String, state: State, within: Duration },
    #[error("no thread for a state change")]
    Thread(#[from] std::io::Error),
}

/// Sends `element` to `state` and waits until it is there. Blocks up to `within`; never call it from a streaming
/// thread, which the change may have to wait for.
///
/// # Errors
/// When the element refuses, or is not there in time: then the thread that waits for it is left behind.
pub fn reach(element: &Element, state: State, within: Duration) -> Result<(), StateError> {
    let name = element.name().to_string();
    let (done, wait) = mpsc::channel();
    let target = element.clone();
    std::thread::Builder::new().name("state".into()).spawn(move || {
        let until = Instant::now() + within;
        let reached = target.set_state(state).is_ok() && {
            let left = until.saturating_duration_since(Instant::now());
            target.state(ClockTime::try_from(left).unwrap_or(ClockTime::ZERO)).0.is_ok()
        };
        let there = target.current_state() == state;
        // The caller may have given up; then nobody is left to tell.
        let _ = done.send((reached, there));
    })?;
    match wait.recv_timeout(within) {
        Ok((true, true)) => Ok(()),
        Ok((false, _)) => Err(StateError::Refused { element: name, state }),
        Ok((true, false)) | Err(_) => Err(StateError::Late { element: name, state, within }),
    }
}
