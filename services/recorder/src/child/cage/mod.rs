//! The cage: what the kernel refuses this process from now on, whatever becomes of the code in it. Knows nothing of
//! media; what is refused is for good, for every thread and for whatever the process becomes.
//!
//! | wanted from inside | refused by |
//! |---|---|
//! | another program, another process | system calls |
//! | to read what is no system library, font or certificate | files |
//! | to write, make, move or remove anything; a core file; any file of more than 0 bytes | files; limits |
//! | TCP to anything but the meeting's server; to listen | files (it rules ports as well); system calls |
//! | UNIX sockets, raw sockets | system calls |
//! | to look into another process, or to signal it | system calls; files |
//! | mounts, modules, namespaces, keys, BPF, `io_uring` and what else has been a way out | system calls |
//! | all of the memory | limits |
//!
//! # Design
//! Landlock binds the calling thread and those that it starts, so the cage is closed while there is only one: after
//! GStreamer has looked at its plug-ins and the first command has come from the worker, and before anything of a
//! stranger's is read. There is no second step to forget, and no moment in between.
//!
//! **What it does not do.** UDP goes anywhere, because a WebRTC sender's address is not known beforehand and no kernel
//! before 7.2 rules UDP by port: network policy outside (a container's, a firewall's) has to. A kernel before 6.12 lacks
//! a part: before 6.7 TCP ports, before 5.13 all rules about files. That is logged and not a reason to lose a lecture.

mod calls;
mod files;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};

pub use files::Grip;

/// Files and sockets that may be open. Measured: 19 with an empty pipeline, and 17 more for each sender of a room.
const MOST_OPEN: u64 = 4096;

/// Memory of its own that the process may ask for, stacks included. Measured: 0.2 GiB with an empty pipeline, and some
/// 0.1 GiB more for each sender, most of it stacks that are never touched. A process without bound would take the other
/// recordings of its machine along.
const MOST_MEMORY: u64 = 16 << 30;

/// The process cannot be caged.
#[derive(Debug, thiserror::Error)]
pub enum CageError {
    #[error("the process cannot be limited")]
    Limit(#[from] nix::Error),
    #[error("there are {0} threads already, and only one of them would be caged")]
    Threads(usize),
    #[error("the threads cannot be counted")]
    Count(#[source] std::io::Error),
    #[error("Landlock refuses its rules")]
    Files(#[from] landlock::RulesetError),
    #[error("seccomp refuses its filter")]
    Calls(#[from] seccompiler::Error),
}

/// How much of the cage this kernel gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub files: Grip,
    /// False where the filter is not made for this processor.
    pub calls: bool,
}

impl Held {
    #[must_use]
    pub fn whole(self) -> bool {
        self.calls && self.files == Grip::Whole
    }
}

/// No core file, no debugger, no new rights: first of all, whatever the process is going to be.
///
/// # Errors
/// When the kernel does not take one of them.
pub fn close_the_door() -> Result<(), CageError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    Ok(prctl::set_no_new_privs()?)
}

/// Closes the cage around a process of one thread. TCP connects to `ports` and to no other.
///
/// # Errors
/// When there is more than one thread, or the kernel refuses what it says it can do.
pub fn close(ports: &[u16]) -> Result<Held, CageError> {
    let threads = std::fs::read_dir("/proc/self/task").map_err(CageError::Count)?.count();
    if threads != 1 {
        return Err(CageError::Threads(threads));
    }
    close_the_door()?;
    // What would kill at a write beyond the limit becomes the write's own error.
    SigSet::from(Signal::SIGXFSZ).thread_block()?;
    for (resource, most) in
        [(Resource::RLIMIT_FSIZE, 0), (Resource::RLIMIT_NOFILE, MOST_OPEN), (Resource::RLIMIT_DATA, MOST_MEMORY)]
    {
        let most = most.min(getrlimit(resource)?.1);
        setrlimit(resource, most, most)?;
    }
    let files = files::rule(ports)?;
    Ok(Held { files, calls: calls::refuse()? })
}
