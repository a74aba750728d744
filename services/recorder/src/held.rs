//! What this worker holds, written down beside its spool: after a crash it takes up its own recordings at once, where
//! others must first have seen six seconds of silence. Ids only; a file that is lost costs those seconds, no recording.
//!
//! # Design
//! The spool's lock is the proof: whoever has it knows that the process that held these recordings is gone.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use events::{RecordingId, TenantId};
use serde::{Deserialize, Serialize};
use storage::RecordingPath;
use tracing::warn;

/// The folder of notes.
#[derive(Debug, Clone)]
pub(crate) struct Notes(PathBuf);

/// One recording and the word that its record names its owner by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    tenant: TenantId,
    year: i32,
    recording: RecordingId,
    pub(crate) owner: String,
}

impl Note {
    pub(crate) fn new(path: &RecordingPath, owner: &str) -> Self {
        let RecordingPath { tenant, year, recording } = path.clone();
        Self { tenant, year, recording, owner: owner.to_owned() }
    }

    pub(crate) fn path(&self) -> RecordingPath {
        RecordingPath { tenant: self.tenant.clone(), year: self.year, recording: self.recording }
    }
}

impl Notes {
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn open(work: &Path) -> io::Result<Self> {
        let folder = work.join("held");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    /// Blocks on the disk, for one small file.
    pub(crate) fn write(&self, note: &Note) {
        let (file, tmp) = (self.file(note.recording), self.0.join(format!("{}.tmp", note.recording)));
        let written = (|| {
            let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
            serde_json::to_writer(&mut open, note)?;
            open.flush()?;
            open.sync_data()?;
            fs::rename(&tmp, &file)
        })();
        if let Err(error) = written {
            warn!(%error, "not noted down; after a crash, this recording is taken up seconds later");
        }
    }

    /// Forgets a recording, if it is still `owner`'s.
    pub(crate) fn forget(&self, note: &Note) {
        let file = self.file(note.recording);
        if read(&file).is_some_and(|found| found == *note) {
            // What stays is found to be over by the next start.
            let _ = fs::remove_file(file);
        }
    }

    /// What an earlier process held when it died. What cannot be read is removed.
    pub(crate) fn left(&self) -> Vec<Note> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut left = Vec::new();
        for entry in entries {
            match read(&entry.path()) {
                Some(note) => left.push(note),
                None => drop(fs::remove_file(entry.path())),
            }
        }
        left
    }

    fn file(&self, recording: RecordingId) -> PathBuf {
        self.0.join(recording.to_string())
    }
}

fn read(file: &Path) -> Option<Note> {
    let note: Note = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    (file.file_name()?.to_str()? == note.recording.to_string()).then_some(note)
}

#[cfg(test)]
mod tests {
    use events::{PolicyId, SessionId};

    use super::*;

    fn note(session: &str, owner: &str) -> Note {
        let tenant = TenantId::new("uni").unwrap();
        let recording = RecordingId::derive(&tenant, &SessionId::new(session).unwrap(), &PolicyId::new("p").unwrap());
        Note::new(&RecordingPath { tenant, year: 2026, recording }, owner)
    }

    #[test]
    fn what_was_held_is_known_after_a_crash_and_spoilt_notes_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::open(folder.path()).unwrap();
        let (a, b) = (note("a", "me"), note("b", "me"));
        notes.write(&a);
        notes.write(&b);
        fs::write(folder.path().join("held/torn.tmp"), "{").unwrap();
        fs::copy(notes.file(a.recording), folder.path().join("held/copy")).unwrap();
        // Taken up again under another word since: not ours to forget.
        notes.forget(&note("a", "earlier"));
        notes.forget(&b);
        assert_eq!(Notes::open(folder.path()).unwrap().left(), std::slice::from_ref(&a));
        assert_eq!(fs::read_dir(folder.path().join("held")).unwrap().count(), 1);
    }
}
