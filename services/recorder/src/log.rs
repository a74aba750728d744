//! A session's inputs, written down as they come, and run again. The log is sealed beside the recording, for it holds
//! participants' names; opened with `age -d`, it is what [`replay`] reads.
//!
//! JSON lines: first the session's [`Spec`], then `{"at":<microseconds>,"input":…}` for each input.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use session::{Action, Input, Session, Spec};

/// Twelve hours of a lively room have a few megabytes.
const LONGEST: usize = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Line {
    /// Microseconds since the session began.
    at: u64,
    input: Input,
}

/// Grows with the session, and ends with the first input for which there is no room: the recording goes on, and what
/// follows a hole could not be run again.
pub(crate) struct Log {
    began: Instant,
    text: Vec<u8>,
    full: bool,
}

impl Log {
    pub(crate) fn begin(spec: &Spec, now: Instant) -> Self {
        let mut log = Self { began: now, text: Vec::new(), full: false };
        log.line(spec);
        log
    }

    pub(crate) fn note(&mut self, input: &Input, now: Instant) {
        let at = u64::try_from(now.duration_since(self.began).as_micros()).unwrap_or(u64::MAX);
        self.line(&Line { at, input: input.clone() });
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    fn line(&mut self, of: &impl Serialize) {
        if self.full {
            return;
        }
        let before = self.text.len();
        let written = serde_json::to_writer(&mut self.text, of);
        self.text.push(b'\n');
        if written.is_err() || self.text.len() > LONGEST {
            self.text.truncate(before);
            self.full = true;
            tracing::warn!("the log of inputs is full; a replay ends here, the recording does not");
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the log cannot be read")]
    Read(#[source] std::io::Error),
    #[error("line {line} is not a line of a session's log; open a sealed log with `age -d` first")]
    Line { line: usize, source: serde_json::Error },
    #[error("the transitions cannot be written")]
    Write(#[source] std::io::Error),
}

/// Runs a log through the machine again and writes each transition: when, what was heard, from where to where, and what
/// was asked for. Names are not written.
///
/// # Errors
/// When the log is not one, or `to` does not take what is written.
pub fn replay(from: impl BufRead, mut to: impl Write) -> Result<(), ReplayError> {
    let mut lines = from.lines().enumerate();
    let began = Instant::now();
    let Some((_, first)) = lines.next() else { return Ok(()) };
    let spec: Spec = parse(1, &first.map_err(ReplayError::Read)?)?;
    let (mut session, actions) = Session::new(spec, began);
    let mut put = |at: Duration, heard: &str, went: &str, actions: &[Action]| {
        let actions = actions.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>().join("; ");
        writeln!(to, "{:>12.6}  {heard:<40}  {went:<28}  {actions}", at.as_secs_f64()).map_err(ReplayError::Write)
    };
    put(Duration::ZERO, "(begun)", session.state().word(), &actions)?;
    for (number, text) in lines {
        let Line { at, input } = parse(number + 1, &text.map_err(ReplayError::Read)?)?;
        let (at, heard, from) = (Duration::from_micros(at), format!("{input:?}"), session.state().word());
        let actions = session.handle(input, began + at);
        let to = session.state().word();
        if from != to || !actions.is_empty() {
            let went = if from == to { from.to_owned() } else { format!("{from} -> {to}") };
            put(at, &heard, &went, &actions)?;
        }
    }
    Ok(())
}

fn parse<T: for<'de> Deserialize<'de>>(line: usize, text: &str) -> Result<T, ReplayError> {
    serde_json::from_str(text).map_err(|source| ReplayError::Line { line, source })
}

#[cfg(test)]
mod tests {
    use media::{Participant, ParticipantId, PipelineSpec};
    use session::{Fault, Limits, Meeting, Reason, Room};

    use super::*;

    fn spec() -> Spec {
        Spec {
            earlier: false,
            layout: layout::LayoutName::Speaker,
            pipeline: PipelineSpec::default(),
            limits: Limits::default(),
            seed: 4,
            caution: session::Caution::default(),
        }
    }

    #[test]
    fn a_full_log_ends_and_leaves_no_hole() {
        let now = Instant::now();
        let mut log = Log::begin(&spec(), now);
        let who = |name: usize| Participant { id: ParticipantId("17".into()), name: "x".repeat(name) };
        log.note(&Input::Meeting(Meeting::Arrived(who(LONGEST - 1000))), now);
        let kept = log.text().len();
        log.note(&Input::Meeting(Meeting::Arrived(who(1000))), now);
        log.note(&Input::Timeout, now);
        assert_eq!(log.text().len(), kept);
        assert!(kept < LONGEST);
    }

    #[test]
    fn a_replay_tells_every_transition_and_no_name() {
        let now = Instant::now();
        let mut log = Log::begin(&spec(), now);
        let kari = Participant { id: ParticipantId("17".into()), name: "Kari Nordmann".into() };
        let inputs = [
            Input::Meeting(Meeting::Lost(Fault::Passing, Reason::Unreachable)),
            Input::Timeout,
            Input::Meeting(Meeting::Joined),
            Input::Meeting(Meeting::Arrived(kari)),
            Input::Room(Room::StopRequested),
        ];
        for (second, input) in (1..).zip(&inputs) {
            log.note(input, now + Duration::from_secs(2 * second));
        }
        assert!(String::from_utf8_lossy(log.text()).contains("Kari"), "the log has it all");
        let mut told = Vec::new();
        replay(log.text(), &mut told).unwrap();
        let told = String::from_utf8(told).unwrap();
        let went = told.lines().map(|line| line.split("  ").map(str::trim).filter(|word| !word.is_empty()).nth(2));
        assert_eq!(
            went.collect::<Vec<_>>(),
            [Some("joining"), Some("joining"), Some("joining -> lobby"), Some("lobby -> ended")],
            "{told}"
        );
        assert!(told.contains("10.000000") && told.contains("StopRequested") && !told.contains("Kari"), "{told}");
    }

    #[test]
    fn a_sealed_log_is_told_to_be_opened_first() {
        let why = replay(&b"age-encryption.org/v1\n"[..], Vec::new()).unwrap_err();
        assert!(why.to_string().contains("age -d"), "{why}");
    }

    #[test]
    fn a_full_log_stays_readable() {
        let now = Instant::now();
        let mut log = Log::begin(&spec(), now);
        log.text.resize(LONGEST - 10, b'\n');
        let before = log.text.len();
        log.note(&Input::Timeout, now);
        assert_eq!(log.text.len(), before);
    }
}
