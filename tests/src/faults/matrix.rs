//! The closed list of faults, with what is promised of each.

use std::fmt;
use std::str::FromStr;

use super::bench::Bench;
use super::rows::{broker, disk, finish, room, store, worker};
use super::verdict::Verdict;

/// One fault of trust.md §4.8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    F1,
    F2,
    F3,
    F4,
    F5,
    F6,
    F7,
    F8,
    F9,
    F10,
    F11,
    F12,
    F13,
    F14,
    F15,
    F16,
    F17,
    F18,
    F19,
    F20,
    F21,
    F22,
    F23,
    F24,
    F25,
    F26,
    F27,
    F28,
    F29,
    F30,
    F31,
    F32,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ROWS.iter().find(|row| row.id.to_string().eq_ignore_ascii_case(text));
        found.map(|row| row.id).ok_or_else(|| format!("there is no fault {text}; they are F1 to F{}", ROWS.len()))
    }
}

/// What is written about a fault.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub id: Id,
    pub fault: &'static str,
    pub injection: &'static str,
    pub promise: &'static str,
    /// Of the figure.
    pub unit: &'static str,
}

const fn row(id: Id, fault: &'static str, injection: &'static str, promise: &'static str, unit: &'static str) -> Row {
    Row { id, fault, injection, promise, unit }
}

pub const ROWS: [Row; 32] = [
    row(
        Id::F1,
        "recorder killed",
        "SIGKILL at random times",
        "at most one segment is lost; another epoch goes on",
        "s lost, p99",
    ),
    row(Id::F2, "media process killed", "SIGKILL of the child", "recording again within 3 s", "s to the next frame"),
    row(Id::F3, "owner asleep", "SIGSTOP, later SIGCONT", "taken over; the sleeper publishes nothing", "generations"),
    row(
        Id::F4,
        "killed between claim, key and settling",
        "SIGKILL at each step",
        "no orphan, no double",
        "stuck recordings",
    ),
    row(Id::F5, "finalizer killed", "SIGKILL after each write", "the next try makes a valid film", "s to READY, worst"),
    row(Id::F6, "one request a thousand times", "shuffled duplicates", "one recording", "bots joined"),
    row(
        Id::F7,
        "broker restarted",
        "SIGKILL of the node while publishing",
        "no confirmed event is lost",
        "confirmed - processed",
    ),
    row(Id::F8, "connections drop", "RST to broker and store, again and again", "the recording is unaffected", "gaps"),
    row(
        Id::F9,
        "half-open connection",
        "the broker's line goes silent",
        "noticed within two heartbeats and a half",
        "heartbeats",
    ),
    row(
        Id::F10,
        "broker out of memory, then of disk",
        "alarms by rabbitmqctl",
        "the recording goes on, its news wait",
        "s to drain",
    ),
    row(
        Id::F11,
        "partition of three nodes",
        "one node parted from two by Erlang cookie",
        "quorum rules",
        "lost confirmed",
    ),
    row(Id::F12, "delivery held too long", "consumer_timeout lowered", "consumers are renewed", "s idle"),
    row(Id::F13, "store away for a day", "the line refuses, scaled 1:60", "no segment is lost", "lost segments"),
    row(Id::F14, "store busy", "503 SlowDown, 30 %", "tried again with pauses", "s upload lag, p99"),
    row(
        Id::F15,
        "put done, reply lost",
        "the answer is dropped, 30 %",
        "found to have happened; nothing twice",
        "duplicate objects",
    ),
    row(Id::F16, "error inside a 200", "of a put and of a completion", "a failure, not a success", "wrong READY"),
    row(Id::F17, "answers cut or flipped", "of reads, 30 %", "rejected and read again", "bad answers served"),
    row(Id::F18, "store ignores conditions", "conditional puts done anyway", "no recorder starts", "starts"),
    row(Id::F19, "disk full", "a small tmpfs, the store away", "a ladder; what was kept is published", "s kept"),
    row(Id::F20, "fdatasync fails", "EIO by strace", "kept in memory until stored", "s unseen, longest"),
    row(
        Id::F21,
        "torn spool file",
        "cut and altered before a restart",
        "set aside; the rest is stored",
        "torn taken as whole",
    ),
    row(
        Id::F22,
        "clock steps by an hour",
        "libfaketime, both ways",
        "no takeover by clock; time goes on",
        "wrong takeovers",
    ),
    row(Id::F23, "meeting server restarts", "SIGKILL of Janus", "back within 10 s, the gap is named", "s missing"),
    row(
        Id::F24,
        "RTP lost, late and doubled",
        "a UDP relay, 5 to 30 %",
        "concealed; sound and picture stay together",
        "ms drift, worst",
    ),
    row(Id::F25, "starved of processor", "one core, two busy loops on it", "sound never drops", "s silent"),
    row(
        Id::F26,
        "out of memory",
        "address space of the child limited",
        "the child dies, the recording goes on",
        "s missing",
    ),
    row(Id::F27, "SIGTERM in a lecture", "another worker is free", "handed over, nothing missing", "s missing"),
    row(Id::F28, "key store away", "OpenBao stopped", "records; playback waits", ""),
    row(
        Id::F29,
        "archive key rotated",
        "between two epochs, by a hand-over",
        "both keys open what is theirs",
        "unopened",
    ),
    row(Id::F30, "old backup restored", "copied back", "what was deleted stays deleted", "revived"),
    row(Id::F31, "tampering", "each object flipped, dropped, swapped, rolled back", "verify names it", "missed"),
    row(Id::F32, "two finalizers", "called at once", "one manifest", "manifests, most"),
];

impl Id {
    pub fn row(self) -> &'static Row {
        // The list is in order of the ids, which a test holds.
        &ROWS[self as usize]
    }

    /// Injects the fault and judges.
    ///
    /// # Errors
    /// When the row could not be played to its end.
    pub async fn play(self, bench: &mut Bench) -> anyhow::Result<Verdict> {
        match self {
            Self::F1 => worker::killed(bench).await,
            Self::F2 => worker::child_killed(bench).await,
            Self::F3 => worker::asleep(bench).await,
            Self::F4 => worker::killed_while_taking(bench).await,
            Self::F5 => finish::killed(bench).await,
            Self::F6 => broker::duplicates(bench).await,
            Self::F7 => broker::restarted(bench).await,
            Self::F8 => broker::resets(bench).await,
            Self::F9 => broker::half_open(bench).await,
            Self::F10 => broker::alarms(bench).await,
            Self::F11 => broker::partition(bench).await,
            Self::F12 => broker::held_too_long(bench).await,
            Self::F13 => store::away(bench).await,
            Self::F14 => store::busy(bench).await,
            Self::F15 => store::replies_lost(bench).await,
            Self::F16 => store::errors_inside(bench).await,
            Self::F17 => store::bad_answers(bench).await,
            Self::F18 => store::ignores_conditions(bench).await,
            Self::F19 => disk::full(bench).await,
            Self::F20 => disk::failing(bench).await,
            Self::F21 => disk::torn(bench).await,
            Self::F22 => worker::clock_steps(bench).await,
            Self::F23 => room::restarted(bench).await,
            Self::F24 => room::weather(bench).await,
            Self::F25 => worker::starved(bench).await,
            Self::F26 => worker::out_of_memory(bench).await,
            Self::F27 => worker::handed_over(bench).await,
            Self::F28 => Ok(Verdict::not_yet("a key store: keys come from files, there is no OpenBao")),
            Self::F29 => finish::rotated(bench).await,
            Self::F30 => Ok(Verdict::not_yet("deletion with tombstones: the archive issue")),
            Self::F31 => finish::tampered(bench).await,
            Self::F32 => finish::two(bench).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_row_in_its_place() {
        for (n, row) in ROWS.iter().enumerate() {
            assert_eq!(row.id as usize, n);
            assert_eq!(row.id.to_string(), format!("F{}", n + 1));
            assert_eq!(row.id.to_string().to_lowercase().parse(), Ok(row.id));
            assert_eq!(row.id.row().fault, row.fault);
        }
        assert!("F33".parse::<Id>().is_err() && "1".parse::<Id>().is_err());
    }
}
