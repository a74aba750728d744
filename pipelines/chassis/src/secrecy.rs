//! Keeping what a process knows to itself: no core file, no debugger, no page in the swap space. For everything that
//! holds a key or a token; what holds none loses nothing by it.
//!
//! # Design
//! The whole memory is locked rather than the pages of keys: a key passes through buffers of the libraries that read it,
//! unseal with it or send it, and those are nobody's to lock. Pages are locked as they are first used (`MCL_ONFAULT`),
//! so this costs nothing. Where the limit on locked memory is not unlimited, nothing is locked at all: a process that
//! runs into that limit later on would lose a lecture to keep a key.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// `MCL_ONFAULT` of `mlockall(2)`, Linux 4.4.
const ON_FAULT: i32 = 4;

/// `CAP_IPC_LOCK` of `capabilities(7)`: the limit on locked memory does not count.
const CAP_IPC_LOCK: u64 = 1 << 14;

/// Where this process' memory may end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    Locked,
    /// Not locked, and there is no swap space now.
    NoSwap,
    /// Not locked, and there is swap space.
    Swappable,
}

/// Keeps this process' memory to itself, as far as it is allowed to; warns where that is not far enough.
pub fn keep() -> Memory {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| prctl::set_dumpable(false)) {
        warn!(%error, "a crash of this process may leave a core file, with keys in it");
    }
    let memory = match lock() {
        Ok(true) => Memory::Locked,
        Ok(false) if !swaps() => Memory::NoSwap,
        Ok(false) => Memory::Swappable,
        Err(error) => {
            warn!(%error, "memory cannot be locked");
            if swaps() { Memory::Swappable } else { Memory::NoSwap }
        }
    };
    match memory {
        Memory::Swappable => warn!(
            "keys in this process' memory may get into the swap space: allow it to lock memory (LimitMEMLOCK=infinity in a \
             systemd unit, --ulimit memlock=-1 for a container), or encrypt the swap space"
        ),
        Memory::Locked | Memory::NoSwap => debug!(?memory, "kept"),
    }
    memory
}

/// False when the limit is too low to begin with.
fn lock() -> nix::Result<bool> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    if hard == RLIM_INFINITY && soft != hard {
        setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard)?;
    }
    if hard != RLIM_INFINITY && !may_lock() {
        return Ok(false);
    }
    let on_fault = MlockAllFlags::from_bits_retain(ON_FAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)?;
    Ok(true)
}

fn may_lock() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & CAP_IPC_LOCK != 0)
}

/// The first line is a heading.
fn swaps() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: &str, name: &str) -> String {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
    }

    #[test]
    fn a_process_keeps_its_memory_to_itself_as_far_as_it_may() {
        let memory = keep();
        assert_eq!(prctl::get_dumpable(), Ok(false));
        assert!(of("/proc/self/limits", "Max core file size").starts_with('0'));
        let kept: u64 = of("/proc/self/status", "VmLck:").trim_end_matches(" kB").parse().unwrap();
        let size: u64 = of("/proc/self/status", "VmSize:").trim_end_matches(" kB").parse().unwrap();
        if memory == Memory::Locked {
            // All but what the kernel maps for itself.
            assert!(kept * 10 > size * 9, "{kept} of {size} kB");
            let later = vec![1_u8; 64 << 20];
            let more: u64 = of("/proc/self/status", "VmLck:").trim_end_matches(" kB").parse().unwrap();
            assert!(more >= kept + (60 << 10), "what comes later is locked too: {kept}, then {more} kB");
            drop(later);
            // Locked as it is used, not all at once.
            let used: u64 = of("/proc/self/status", "VmRSS:").trim_end_matches(" kB").parse().unwrap();
            assert!(used < more, "{used} of {more} kB are in memory");
        } else {
            assert_eq!(kept, 0);
            assert_ne!(getrlimit(Resource::RLIMIT_MEMLOCK).unwrap().1, RLIM_INFINITY);
            assert_eq!(memory == Memory::Swappable, swaps());
        }
    }
}
