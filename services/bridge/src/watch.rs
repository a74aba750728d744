//! One Janus server: hears its news, looks for itself now and then, tells what became of it, and asks for recordings.

mod asked;
mod desk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Consumer, Delivery, RawConsumer};
use events::{Body, Event, Meta, Platform, RoomId, TenantId, event_id};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Server;
use crate::janus::{Visit, VisitError};
use crate::memory::Memory;
use crate::news;
use crate::policy::{Decision, Policy};
use crate::rooms::{Rooms, Tiding, Undecided};
use crate::wishes::Wishes;

/// News may be lost on its way (the handler's queue, a reconnect); a look finds what it missed within this.
const LOOK: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_secs(1);
/// Each waits for the broker as long as a publish does. A bridge that knows nothing is better than none.
const FETCHES: u32 = 4;
/// A server that cannot be asked does not keep a room from being recorded: past this the policy decides by what is
/// known.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Watch {
    server: Server,
    tenant: TenantId,
    broker: Broker,
    policy: Arc<Policy>,
    rooms: Rooms,
    wishes: Wishes<Delivery>,
    stop: CancellationToken,
    /// [`Rooms::changes`] as the broker has them.
    kept: u64,
    /// Not before, for the broker's last answer was a bad one.
    keep_after: Instant,
    /// When to look again.
    look: Instant,
    /// Said once: nothing a warning per message would add to.
    told_of_foreign_rooms: bool,
    blind: bool,
}

impl Watch {
    pub(crate) fn new(
        server: Server,
        tenant: TenantId,
        broker: Broker,
        policy: Arc<Policy>,
        empty_after: Duration,
        stop: CancellationToken,
    ) -> Self {
        let rooms = Rooms::new(&server.instance, empty_after);
        let look = Instant::now();
        let wishes = Wishes::default();
        Self {
            server,
            tenant,
            broker,
            policy,
            rooms,
            wishes,
            stop,
            kept: 0,
            keep_after: look,
            look,
            told_of_foreign_rooms: false,
            blind: false,
        }
    }

    /// Watches until the broker's consumers end.
    pub(crate) async fn run(mut self, mut news: RawConsumer, mut desk: Consumer, mut wanted: mpsc::Receiver<Delivery>) {
        if !self.restore().await {
            return;
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                messages = news.next() => match messages {
                    Some(messages) => self.hear(&messages).await,
                    None => return,
                },
                Some(delivery) = desk.next() => self.attend(delivery).await,
                Some(wish) = wanted.recv() => self.want(wish).await,
                _ = tick.tick() => {
                    let now = OffsetDateTime::now_utc();
                    let tidings = self.rooms.tick(now);
                    self.tell(tidings).await;
                    self.forgo(now).await;
                }
            }
            let due = Instant::now() >= self.look;
            let open = !self.rooms.undecided().is_empty() || self.wishes.press(|room| self.rooms.runs(room));
            // After a failure the next try waits for its time; a new run does not wait while all is well.
            if due || (open && !self.blind) {
                self.look_and_decide(due).await;
            }
            self.remember().await;
        }
    }

    /// Takes up what an earlier bridge left. False when told to stop meanwhile.
    async fn restore(&mut self) -> bool {
        let name = self.notebook();
        let mut tries = 0;
        let note = loop {
            match self.broker.kept(&name).await {
                Ok(note) => break note,
                Err(error) => {
                    tries += 1;
                    if tries == FETCHES {
                        error!(%error, queue = name, "what an earlier bridge left cannot be fetched; beginning anew");
                        break None;
                    }
                    warn!(%error, "what an earlier bridge left cannot be fetched yet");
                    tokio::select! {
                        () = self.stop.cancelled() => return false,
                        () = tokio::time::sleep(TICK) => {}
                    }
                }
            }
        };
        match note.as_deref().map(Memory::read) {
            None => {}
            Some(Ok(memory)) => {
                let untold = self.rooms.restore(memory);
                info!(instance = self.server.instance, runs = self.rooms.running().count(), "going on with what ran");
                self.tell(untold).await;
            }
            Some(Err(error)) => error!(instance = self.server.instance, %error, "beginning anew"),
        }
        true
    }

    /// Has the broker keep what must outlive us. When it cannot, nothing else is lost and nothing waits: it is tried again
    /// after a while.
    async fn remember(&mut self) {
        let changes = self.rooms.changes();
        if changes == self.kept || Instant::now() < self.keep_after {
            return;
        }
        match self.broker.keep(&self.notebook(), &self.rooms.memory().write()).await {
            Ok(()) => self.kept = changes,
            Err(error) => {
                self.keep_after = Instant::now() + LOOK;
                error!(%error, "the runs cannot be written down, so a restart would not know them; trying again");
            }
        }
    }

    fn notebook(&self) -> String {
        format!("lectern.bridge.runs.{}", self.server.instance)
    }

    async fn hear(&mut self, messages: &[Vec<u8>]) {
        let mut tidings = Vec::new();
        for message in messages {
            let news = news::read(message, &self.server.sign);
            if news.foreign_rooms > 0 && !self.told_of_foreign_rooms {
                self.told_of_foreign_rooms = true;
                let instance = &self.server.instance;
                warn!(instance, "rooms whose ids are not 1 to 64 of A-Z, a-z, 0-9, '_' and '-' cannot be recorded");
            }
            for fact in &news.facts {
                tidings.extend(self.rooms.hear(fact, OffsetDateTime::now_utc()));
            }
        }
        self.tell(tidings).await;
    }

    /// Asks Janus, about every room when `all` and else about undecided ones, then decides.
    async fn look_and_decide(&mut self, all: bool) {
        let seen = self.look(all).await;
        self.look = Instant::now() + if seen.is_ok() { LOOK } else { TICK };
        match (&seen, self.blind) {
            (Err(error), false) => warn!(instance = self.server.instance, %error, "Janus cannot be asked"),
            (Ok(_), true) => info!(instance = self.server.instance, "Janus can be asked again"),
            _ => {}
        }
        self.blind = seen.is_err();
        let now = OffsetDateTime::now_utc();
        for run in self.rooms.undecided() {
            match &seen {
                Ok(titles) => self.decide(&run, titles.get(&run.room).map(String::as_str)).await,
                Err(_) if now - run.since > PATIENCE => self.decide(&run, None).await,
                Err(_) => {}
            }
        }
        self.answer(&seen, now).await;
    }

    /// Corrects the rooms by what Janus says; returns the titles it told.
    async fn look(&mut self, all: bool) -> Result<BTreeMap<RoomId, String>, VisitError> {
        let undecided = self.rooms.undecided();
        let titled = |run: &Undecided| self.policy.needs_title(&self.server.instance, &run.room);
        let mut titles = BTreeMap::new();
        let mut wanted: BTreeSet<RoomId> = undecided.iter().map(|run| run.room.clone()).collect();
        let mut visit = Visit::begin(&self.server).await?;
        wanted.extend(self.wishes.rooms().cloned());
        if all || undecided.iter().any(titled) || self.wishes.rooms().next().is_some() {
            for listed in visit.rooms().await? {
                if all && listed.people > 0 {
                    wanted.insert(listed.room.clone());
                }
                titles.extend(listed.title.map(|title| (listed.room, title)));
            }
        }
        if all {
            wanted.extend(self.rooms.running().cloned());
        }
        let (mut tidings, mut failed) = (Vec::new(), None);
        for room in &wanted {
            match visit.presence(room).await {
                Ok(presence) => tidings.extend(self.rooms.see(room, presence.as_ref(), OffsetDateTime::now_utc())),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        visit.end().await;
        // Of the rooms before the one that failed, too: they are known as they are now.
        self.tell(tidings).await;
        failed.map_or(Ok(titles), Err)
    }

    async fn decide(&mut self, run: &Undecided, title: Option<&str>) {
        let Undecided { room, session, .. } = run;
        let policy = self.policy.clone();
        let mut recorded = false;
        match policy.decide(&self.server.instance, room, title) {
            Decision::Record(rule) => {
                recorded = true;
                info!(%room, %session, policy = %rule.id, "asking for a recording");
                let body = Body::RecordingRequested(rule.request("policy"));
                let sequence = rule.id.to_string();
                self.tell(vec![Tiding { room: room.clone(), session: session.clone(), sequence, body }]).await;
            }
            Decision::OnRequest(rule) => info!(%room, %session, policy = %rule.id, "recorded when somebody asks"),
            Decision::Leave => info!(%room, %session, "no rule records this room"),
        }
        self.rooms.decided(room, recorded);
    }

    /// Publishes in order. While the broker is away nothing else happens here: what the news queue cannot hold, the
    /// next look finds. False when something could not be told, or not before the stop.
    ///
    /// The id of a run is written down before anybody hears it, and its end is forgotten only when it was told: whenever
    /// we are killed, nobody records under an id that our successor does not know.
    async fn tell(&mut self, tidings: Vec<Tiding>) -> bool {
        if tidings.is_empty() {
            return true;
        }
        let begun = tidings.iter().any(|tiding| matches!(tiding.body, Body::RoomStarted(_)));
        let ended = tidings.iter().any(|tiding| matches!(tiding.body, Body::RoomEnded(_)));
        if begun {
            self.remember().await;
        }
        let events: Vec<Event> = tidings.into_iter().map(|tiding| self.event(tiding)).collect();
        let mut all = true;
        let answers = self.broker.publish_all(&events).await;
        for (at, mut told) in answers.into_iter().enumerate() {
            let event = &events[at];
            let kind = event.body.kind();
            while let Err(error) = told {
                if !error.is_passing() {
                    error!(kind, %error, "an event could not be told");
                    all = false;
                    break;
                }
                warn!(kind, %error, "an event could not be told yet");
                tokio::select! {
                    () = self.stop.cancelled() => return false,
                    () = tokio::time::sleep(TICK) => {}
                }
                told = self.broker.publish(event).await;
            }
        }
        if ended {
            self.rooms.told();
        }
        all
    }

    fn event(&self, tiding: Tiding) -> Event {
        let Tiding { room, session, sequence, body } = tiding;
        let mut meta = Meta {
            id: String::new(),
            platform: Platform::Janus,
            instance: self.server.instance.clone(),
            tenant: self.tenant.clone(),
            room,
            session,
            time: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
        };
        meta.id = event_id(&meta.source(), body.kind(), &meta.room, &meta.session, &sequence);
        Event { meta, body }
    }
}
