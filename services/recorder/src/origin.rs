//! Webinars: pushes what the compositor makes to the origin, over HTTP. The origin being slow or away never delays the
//! recording: what has become too old for viewers is dropped and counted. An origin that has restarted is told the
//! beginning again, and goes on with the next whole segment.

use std::time::{Duration, Instant};

use events::RecordingId;
use media::{Init, Part, SegmentClosed};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{Instrument, error, warn};

use crate::config::Token;

/// Viewers are two seconds behind the speaker; a part that is half a minute late has been shown as a gap.
const STALE: Duration = Duration::from_secs(30);

/// [`STALE`] of parts of four renditions.
const BACKLOG: usize = 256;

/// A part has half a second of media, so a request that takes ten of them is not coming back.
const PATIENCE: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(250);

/// Where and as what to push.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) token: Option<Token>,
    pub(crate) recording: RecordingId,
    pub(crate) epoch: u32,
}

enum Push {
    Init(Init),
    Part(Part),
    Closed(SegmentClosed),
    End,
}

/// The push of one epoch.
pub(crate) struct Origin {
    to: mpsc::Sender<(Instant, Push)>,
    task: JoinSet<()>,
    dropped: u64,
}

impl Origin {
    pub(crate) fn begin(address: Address) -> Self {
        let (to, pushes) = mpsc::channel(BACKLOG);
        let mut task = JoinSet::new();
        task.spawn(push_all(address, pushes).in_current_span());
        Self { to, task, dropped: 0 }
    }

    pub(crate) fn init(&mut self, init: &Init) {
        self.push(Push::Init(init.clone()));
    }

    pub(crate) fn part(&mut self, part: &Part) {
        self.push(Push::Part(part.clone()));
    }

    pub(crate) fn closed(&mut self, closed: &SegmentClosed) {
        self.push(Push::Closed(closed.clone()));
    }

    fn push(&mut self, push: Push) {
        if self.to.try_send((Instant::now(), push)).is_err() {
            self.dropped += 1;
        }
    }

    /// Pushes what is left, for at most `patience`. `over`: tells the origin that there is no more; else another epoch
    /// follows, and viewers wait for it.
    pub(crate) async fn finish(self, over: bool, patience: Duration) {
        let Self { to, mut task, dropped } = self;
        let rest = async {
            if over {
                // A closed channel means that nothing is pushed any more.
                let _ = to.send((Instant::now(), Push::End)).await;
            }
            drop(to);
            task.join_next().await
        };
        if dropped > 0 {
            warn!(dropped, "the origin was too slow for the webinar");
        }
        if tokio::time::timeout(patience, rest).await.is_err() {
            warn!("the origin did not take the rest of the webinar");
        }
    }
}

/// What became of one request.
enum Answer {
    Taken,
    /// It makes no sense to say it again.
    Refused(StatusCode),
    /// It knows nothing of this epoch (412): it has restarted, and wants to hear the beginning again.
    Forgotten,
    /// Another worker's epoch is newer (409): this one has nothing to say any more.
    Fenced,
    Away,
}

async fn push_all(address: Address, mut pushes: mpsc::Receiver<(Instant, Push)>) {
    let client = match Client::builder().timeout(PATIENCE).build() {
        Ok(client) => client,
        Err(error) => return error!(%error, "no HTTP client; the webinar is not shown"),
    };
    let (mut late, mut fenced, mut inits) = (0_u64, false, Vec::new());
    while let Some((made, push)) = pushes.recv().await {
        let expires = matches!(push, Push::Part(_));
        let mut reminded = false;
        while !fenced {
            if expires && made.elapsed() > STALE {
                late += 1;
                break;
            }
            match ask(address.say(&client, &push)).await {
                Answer::Taken => break,
                Answer::Refused(status) => {
                    warn!(%status, "the origin refused a piece of the webinar");
                    break;
                }
                Answer::Forgotten if !reminded => {
                    reminded = true;
                    for init in &inits {
                        // What is said next shows whether it was taken.
                        let _ = ask(address.say(&client, init)).await;
                    }
                }
                // In the middle of a segment; the next one it takes.
                Answer::Forgotten => break,
                Answer::Fenced => {
                    warn!("the origin has a newer epoch; nothing more is pushed");
                    fenced = true;
                }
                Answer::Away => tokio::time::sleep(PAUSE).await,
            }
        }
        if matches!(push, Push::Init(_)) {
            inits.push(push);
        }
    }
    if late > 0 {
        warn!(parts = late, "parts came too late for the webinar");
    }
}

async fn ask(request: RequestBuilder) -> Answer {
    match request.send().await.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => Answer::Taken,
        Ok(StatusCode::CONFLICT) => Answer::Fenced,
        Ok(StatusCode::PRECONDITION_FAILED) => Answer::Forgotten,
        Ok(status) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Answer::Away,
        Ok(status) => Answer::Refused(status),
        Err(_) => Answer::Away,
    }
}

impl Address {
    fn at(&self, client: &Client, method: Method, rest: &str) -> RequestBuilder {
        let Self { url, recording, epoch, .. } = self;
        let request =
            client.request(method, format!("{}/ingest/{recording}/{epoch}/{rest}", url.trim_end_matches('/')));
        match &self.token {
            Some(token) => request.bearer_auth(&token.0),
            None => request,
        }
    }

    fn say(&self, client: &Client, push: &Push) -> RequestBuilder {
        match push {
            Push::Init(init) => {
                let request = self.at(client, Method::PUT, &format!("{}/init", init.rendition));
                let request = request.header("x-codec", &init.codec).body(init.bytes.clone());
                match init.picture {
                    Some(p) => request.header("x-picture", format!("{}x{}@{}", p.width, p.height, p.fps)),
                    None => request,
                }
            }
            Push::Part(part) => {
                let rest = format!("{}/{}/{}", part.rendition, part.segment, part.index);
                self.at(client, Method::PUT, &rest)
                    .header("x-duration-ns", part.lasts.as_nanos().to_string())
                    .header("x-independent", if part.independent { "1" } else { "0" })
                    .body(part.bytes.clone())
            }
            Push::Closed(closed) => {
                let rest = format!("{}/{}/closed", closed.rendition, closed.segment);
                self.at(client, Method::POST, &rest).json(closed)
            }
            Push::End => self.at(client, Method::POST, "end"),
        }
    }
}
