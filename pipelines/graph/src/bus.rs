//! Turns bus messages into events. Holds no pipeline; starts nothing.

use gstreamer::prelude::*;
use gstreamer::{MessageView, Object, State};

/// Bounds what a hostile stream can write into a log through an element's error text.
const LONGEST_TEXT: usize = 400;

/// What a pipeline tells its owner.
#[derive(Debug, Clone)]
pub enum Event {
    /// An element failed. `node` is the element itself: compare it with, or ask it for, handles that were kept.
    Error { node: Option<Object>, what: String },
    /// Every sink has seen the end of its stream.
    Eos,
    /// The pipeline itself (not one of its elements) has reached this state.
    State(State),
    /// An element's latency changed: the owner should ask the pipeline to spread the new one.
    Latency,
}

/// Where a pipeline's events arrive, in the order they were posted.
pub type Events = tokio::sync::mpsc::UnboundedReceiver<Event>;

/// The event that `message` stands for, if an owner has any use for it.
#[must_use]
pub fn translate(message: &gstreamer::Message) -> Option<Event> {
    match message.view() {
        MessageView::Error(error) => {
            let name = message.src().map(|node| node.name().to_string()).unwrap_or_default();
            let mut what = format!("{name}: {}", error.error());
            if let Some(debug) = error.debug() {
                what.push_str(" (");
                what.push_str(&debug);
                what.push(')');
            }
            Some(Event::Error { node: message.src().cloned(), what: one_line(&what) })
        }
        MessageView::Eos(_) => Some(Event::Eos),
        MessageView::StateChanged(change) => {
            let of_pipeline = message.src().is_some_and(ObjectExt::is::<gstreamer::Pipeline>);
            of_pipeline.then(|| Event::State(change.current()))
        }
        MessageView::Latency(_) => Some(Event::Latency),
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_element_and_its_reason_on_one_bounded_line() {
        crate::init().unwrap();
        let node = gstreamer::ElementFactory::make("identity").name("branch-7").build().unwrap();
        let message = gstreamer::message::Error::builder(gstreamer::StreamError::Decode, "bad\nstream")
            .debug(&"x".repeat(5000))
            .src(&node)
            .build();
        let Some(Event::Error { node: from, what }) = translate(&message) else { panic!("not an error") };
        assert_eq!(from.unwrap(), *node.upcast_ref::<Object>());
        assert!(what.starts_with("branch-7: bad stream (xxx"), "{what}");
        assert_eq!(what.chars().count(), LONGEST_TEXT);
    }

    #[test]
    fn only_the_pipelines_own_state_is_told() {
        crate::init().unwrap();
        let change = |src: &gstreamer::Element| {
            let message =
                gstreamer::message::StateChanged::builder(State::Ready, State::Paused, State::VoidPending).src(src);
            translate(&message.build())
        };
        let pipeline = gstreamer::Pipeline::new();
        let inner = gstreamer::ElementFactory::make("identity").build().unwrap();
        assert!(matches!(change(pipeline.upcast_ref()), Some(Event::State(State::Paused))));
        assert!(change(&inner).is_none());
    }
}
