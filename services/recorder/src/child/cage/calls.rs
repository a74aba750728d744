//! System calls that no decoder needs and many an escape did: refused with `EPERM`, by a filter of seccomp.
//!
//! # Design
//! A list of what is refused, not of what is allowed: the latter changes with every C library and every codec, and a
//! lecture that is lost to a new system call is lost all the same. What matters is closed whole: no program, no process,
//! no descriptor of another's, no other kind of socket.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

#[rustfmt::skip]
const REFUSED: &[c_long] = &[
    // another program; another process is `clone` below
    libc::SYS_execve, libc::SYS_execveat,
    // into other processes
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd, libc::SYS_kcmp,
    // other views of the system
    libc::SYS_unshare, libc::SYS_setns, libc::SYS_chroot, libc::SYS_pivot_root,
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_move_mount, libc::SYS_open_tree, libc::SYS_mount_setattr,
    libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick,
    libc::SYS_open_by_handle_at, libc::SYS_name_to_handle_at, libc::SYS_fanotify_init,
    // the kernel itself
    libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module,
    libc::SYS_kexec_load, libc::SYS_kexec_file_load, libc::SYS_reboot,
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_personality,
    // calls that a filter of calls does not see
    libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register,
    // the kernel's keys
    libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl,
    // the machine
    libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_acct, libc::SYS_quotactl, libc::SYS_syslog, libc::SYS_vhangup,
    libc::SYS_sethostname, libc::SYS_setdomainname,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_clock_adjtime, libc::SYS_adjtimex,
    // other people
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid, libc::SYS_setresgid,
    libc::SYS_setgroups, libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_capset,
    // to be called upon
    libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4,
];

/// The calls of one processor only.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_fork, libc::SYS_vfork, libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt,
    // x32, where its numbers are its own: execve, ptrace, kexec_load, process_vm_readv, process_vm_writev, execveat
    X32 | 520, X32 | 521, X32 | 528, X32 | 539, X32 | 540, X32 | 545,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

/// Marks the calls of x32, which pass for those of x86-64 but for their numbers.
#[cfg(target_arch = "x86_64")]
const X32: c_long = 0x4000_0000;

/// The lowest four bits of a socket's type say which; the rest are flags.
const SOCKET_TYPE: u64 = 0xf;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// False where there is no filter for this processor.
pub(super) fn refuse() -> Result<bool, seccompiler::Error> {
    let Ok(here) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(false) };
    install(rules()?, libc::EPERM, here)?;
    // Its flags lie in memory, where no filter can look. The C library takes `clone` where there is none.
    install(only(libc::SYS_clone3), libc::ENOSYS, here)?;
    Ok(true)
}

fn rules() -> Result<Rules, BackendError> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).flat_map(|&call| only(call)).collect();
    // A thread is welcome, a process is not.
    let no_thread = condition(0, SeccompCmpOp::MaskedEq(bits(libc::CLONE_THREAD)), 0)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![no_thread])?]);
    // IPv4, IPv6, and asking the kernel for our own addresses.
    let is_not = |family| condition(0, SeccompCmpOp::Ne, bits(family));
    let other = [is_not(libc::AF_INET)?, is_not(libc::AF_INET6)?, is_not(libc::AF_NETLINK)?];
    let raw = condition(1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), bits(libc::SOCK_RAW))?;
    let raw = [raw, is_not(libc::AF_NETLINK)?];
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(other.into())?, SeccompRule::new(raw.into())?]);
    Ok(rules)
}

/// Any use of `call`, by whichever of its numbers.
fn only(call: c_long) -> Rules {
    #[cfg(target_arch = "x86_64")]
    let calls = [call, call | X32];
    #[cfg(not(target_arch = "x86_64"))]
    let calls = [call];
    calls.map(|call| (call, Vec::new())).into()
}

fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    // The kernel looks at 32 bits of all of these.
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
}

fn bits(constant: i32) -> u64 {
    constant.unsigned_abs().into()
}

fn install(rules: Rules, error: i32, here: TargetArch) -> Result<(), seccompiler::Error> {
    let refused = SeccompAction::Errno(error.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, here)?;
    apply_filter(&seccompiler::BpfProgram::try_from(filter)?)
}
