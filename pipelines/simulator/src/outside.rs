//! All that a simulated program meets: time, chance, the store and the way to it, rooms, the broker, and those who watch.

use std::time::Instant;

use crate::check::Check;
use crate::event::{Client, Event, Step, Wake};
use crate::mistake::Mistake;
use crate::network::Network;
use crate::random::Random;
use crate::room::Room;
use crate::schedule::{Micros, Schedule};
use crate::store::Store;
use crate::story::Story;

#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) schedule: Schedule,
    pub(crate) random: Random,
    pub(crate) network: Network,
    pub(crate) store: Store,
    pub(crate) rooms: Vec<Room>,
    pub(crate) check: Check,
    pub(crate) story: Story,
    pub(crate) mistake: Option<Mistake>,
    /// Some wall clock is wrong.
    pub(crate) clocks_differ: bool,
    /// Of each worker, the life it is in.
    pub(crate) lives: Vec<u32>,
}

impl Outside {
    pub(crate) fn now(&self) -> Micros {
        self.schedule.now()
    }

    pub(crate) fn instant(&self) -> Instant {
        self.schedule.instant()
    }

    pub(crate) fn after(&mut self, pause: Micros, event: Event) {
        self.schedule.at(self.now() + pause, event);
    }

    pub(crate) fn wake(&mut self, who: Client, pause: Micros, wake: Wake) {
        if let Client::Worker(at, life) = who {
            self.after(pause, Event::Worker(at, life, wake));
        }
    }

    pub(crate) fn step(&mut self, who: Client, pause: Micros, step: Step) {
        if let Client::Finalizer(at, life) = who {
            self.after(pause, Event::Finalizer(at, life, step));
        }
    }

    /// A random word, as owners use them.
    pub(crate) fn word(&mut self, of: usize) -> String {
        format!("w{of}-{:x}", self.random.next() >> 32)
    }

    /// One that is planted in the simulated programs.
    pub(crate) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }
}
