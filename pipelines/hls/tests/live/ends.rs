//! Who may say that a webinar ends: nobody but the last that could go on with it.

use std::time::Duration;

use crate::worker::{NOON, SEGMENT, Worker, read};
use hls::{PushError, Rules, State, Webinar};
use media::{Rendition, WallTime};

const RENDITIONS: [fn() -> Rendition; 2] = [Rendition::video, Rendition::audio];

/// Epoch 1 is live and has pushed half of its fifth segment.
struct Case {
    /// How many segments higher epochs have closed, from epoch 2 on.
    staged: &'static [u64],
    /// Who says, one after the other, that there is no more.
    ends: &'static [u32],
    /// What viewers see then.
    sees: (u32, State),
    /// Whose pushes are still taken.
    go_on: &'static [u32],
}

const fn case(staged: &'static [u64], ends: &'static [u32], sees: (u32, State), go_on: &'static [u32]) -> Case {
    Case { staged, ends, sees, go_on }
}

const CASES: [Case; 22] = [
    // Alone, it is the end; of one that nobody knows, it is not.
    case(&[], &[1], (1, State::Ended), &[]),
    case(&[], &[2], (1, State::Live), &[1]),
    // A staged one is let go of, whatever it has closed.
    case(&[0], &[2], (1, State::Live), &[1]),
    case(&[0], &[2, 2], (1, State::Live), &[1]),
    case(&[1], &[2], (1, State::Live), &[1]),
    case(&[0, 0], &[2], (1, State::Live), &[1, 3]),
    case(&[0, 0], &[3], (1, State::Live), &[1, 2]),
    case(&[1, 0], &[3], (1, State::Live), &[1, 2]),
    case(&[0, 0], &[3, 2], (1, State::Live), &[1]),
    // The live one's end waits for those that have nothing to show yet,
    case(&[0], &[1], (1, State::Live), &[2]),
    case(&[0], &[1, 1], (1, State::Live), &[2]),
    case(&[0, 0], &[1], (1, State::Live), &[2, 3]),
    case(&[0, 0], &[1, 2], (1, State::Live), &[3]),
    case(&[0, 0], &[1, 3], (1, State::Live), &[2]),
    // and goes over to one that has.
    case(&[1], &[1], (2, State::Live), &[2]),
    case(&[1, 0], &[1], (2, State::Live), &[2, 3]),
    case(&[1, 0], &[1, 2], (2, State::Live), &[3]),
    // When all have said so, in whatever order, that is the end.
    case(&[0], &[1, 2], (1, State::Ended), &[]),
    case(&[0], &[2, 1], (1, State::Ended), &[]),
    case(&[1], &[2, 1], (1, State::Ended), &[]),
    case(&[1], &[1, 2], (2, State::Ended), &[]),
    case(&[0, 0], &[2, 1, 3], (1, State::Ended), &[]),
];

#[test]
fn an_end_is_that_of_one_epoch() {
    for Case { staged, ends, sees, go_on } in CASES {
        let what = format!("staged {staged:?}, ends {ends:?}");
        let mut webinar = Webinar::new(Rules::default());
        let mut workers = vec![Worker::start(&mut webinar, 1, NOON)];
        workers[0].run(&mut webinar, 4);
        push_parts(&mut webinar, &workers[0], 0..3);
        for (epoch, closed) in (2..).zip(staged) {
            let mut worker = Worker::start(&mut webinar, epoch, now());
            worker.run(&mut webinar, *closed);
            push_parts(&mut webinar, &worker, 0..3);
            workers.push(worker);
        }
        assert_eq!((webinar.epoch(), webinar.state()), (1, State::Live), "{what}: before");
        for epoch in ends {
            webinar.end(*epoch).unwrap();
        }
        assert_eq!((webinar.epoch(), webinar.state()), sees, "{what}");
        for playlist in RENDITIONS.map(|name| read(&webinar.playlist(&name()).unwrap())) {
            assert_eq!(playlist.ended, sees.1 == State::Ended, "{what}");
        }
        for worker in workers.iter().filter(|worker| !go_on.contains(&worker.epoch)) {
            let (epoch, newest) = (worker.epoch, sees.0);
            let why = if epoch < newest { PushError::Fenced { epoch, newest } } else { PushError::Ended };
            assert_eq!(worker.push(&mut webinar, &Rendition::video(), SEGMENT), Err(why), "{what}: epoch {epoch}");
        }
        // The lowest first: each goes on in the middle of its segment.
        workers.retain(|worker| go_on.contains(&worker.epoch));
        for worker in &mut workers {
            push_parts(&mut webinar, worker, 3..6);
            for rendition in RENDITIONS.map(|name| name()) {
                webinar.closed(worker.epoch, &worker.end_of(&rendition, SEGMENT)).unwrap();
            }
            let live = worker.epoch == sees.0;
            assert!(!live || last(&webinar) == format!("{}-{}.m4s", worker.epoch, worker.segment), "{what}");
            worker.advance(SEGMENT);
        }
        if let Some(worker) = workers.last_mut() {
            worker.run(&mut webinar, 2);
            assert_eq!(last(&webinar), format!("{}-{}.m4s", worker.epoch, worker.segment - 1), "{what}");
        }
    }
}

/// What is listed last, whole and in both renditions.
fn last(webinar: &Webinar) -> String {
    let [video, audio] = RENDITIONS.map(|name| read(&webinar.playlist(&name()).unwrap()).segments.pop().unwrap());
    assert!(!video.gap && video == audio, "{video:?} {audio:?}");
    video.uri
}

/// Where epoch 1 is with half a segment.
fn now() -> WallTime {
    NOON.plus(SEGMENT * 4 + SEGMENT / 2)
}

fn push_parts(to: &mut Webinar, worker: &Worker, which: std::ops::Range<usize>) {
    for rendition in RENDITIONS.map(|name| name()) {
        for part in worker.parts(&rendition, SEGMENT).drain(which.clone()) {
            to.part(worker.epoch, part).unwrap();
        }
    }
}

/// The old one died, and the new one found that the room had ended: nobody is left to say so.
#[test]
fn the_last_word_counts_once_the_live_one_is_silent() {
    for known in [true, false] {
        let mut webinar = Webinar::new(Rules::default());
        let mut old = Worker::start(&mut webinar, 1, NOON);
        old.run(&mut webinar, 4);
        if known {
            Worker::start(&mut webinar, 2, now());
        }
        webinar.end(2).unwrap();
        webinar.silent(Duration::from_secs(7));
        assert_eq!(webinar.state(), State::Live);
        webinar.silent(Duration::from_secs(8));
        assert_eq!(webinar.state(), State::Ended);
        let ended = |webinar: &Webinar| RENDITIONS.map(|name| read(&webinar.playlist(&name()).unwrap()).ended);
        assert_eq!(ended(&webinar), [true; 2]);

        // It was only the line: what records is seen.
        old.run(&mut webinar, 1);
        assert_eq!((webinar.state(), ended(&webinar)), (State::Live, [false; 2]));
        webinar.silent(Duration::from_secs(8));
        assert_eq!(webinar.state(), State::Interrupted, "it has gone on since");
    }
}

/// A webinar that has ended stays so while staged epochs come and go, and goes on with the first segment of one.
#[test]
fn staged_epochs_come_and_go_after_the_end() {
    let mut webinar = Webinar::new(Rules::default());
    Worker::start(&mut webinar, 1, NOON).run(&mut webinar, 4);
    webinar.end(1).unwrap();
    Worker::start(&mut webinar, 2, now());
    let mut third = Worker::start(&mut webinar, 3, now());
    webinar.end(2).unwrap();
    assert_eq!((webinar.epoch(), webinar.state()), (1, State::Ended));
    third.run(&mut webinar, 1);
    assert_eq!((webinar.epoch(), webinar.state()), (3, State::Live));
}

/// Many that come and end take neither memory nor the place of one that records.
#[test]
fn the_ended_make_room_for_others() {
    let mut webinar = Webinar::new(Rules::default());
    let mut old = Worker::start(&mut webinar, 1, NOON);
    old.run(&mut webinar, 4);
    let mut second = Worker::start(&mut webinar, 2, now());
    let before = webinar.bytes();
    for epoch in 3..30 {
        let worker = Worker::start(&mut webinar, epoch, now());
        push_parts(&mut webinar, &worker, 0..3);
        webinar.end(epoch).unwrap();
    }
    assert_eq!(webinar.bytes(), before);
    second.run(&mut webinar, 2);
    assert_eq!((webinar.epoch(), webinar.state()), (2, State::Live));
}
