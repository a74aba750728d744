//! Files, TCP ports, signals: Landlock's rules. All that is not named here is refused.

use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope, path_beneath_rules,
};

/// What is asked of the kernel: that of Linux 6.12. An older one gives what it has.
const ABI: ABI = ABI::V6;

/// What may be read: nothing of ours, nothing of a person's, no secret of the machine's.
#[rustfmt::skip]
const READ: &[&str] = &[
    // libraries, fonts, tables of codecs and time zones
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
    "/etc/fonts", "/var/cache/fontconfig",
    // the meeting server's address, and who vouches for it
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
    "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust",
    // how many processors there are
    "/sys/devices/system/cpu",
    "/dev/urandom",
];

/// What takes whatever is written to it, and keeps nothing.
const SINK: &[&str] = &["/dev/null"];

/// How far Landlock holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grip {
    Whole,
    /// This kernel is too old for some of it.
    Part,
    None,
}

pub(super) fn rule(ports: &[u16]) -> Result<Grip, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let ports = ports.iter().map(|&port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp)));
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI))?
        .handle_access(AccessNet::from_all(ABI))?
        .scope(Scope::from_all(ABI))?
        .create()?
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(SINK, AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(ports)?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Grip::Whole,
        RulesetStatus::PartiallyEnforced => Grip::Part,
        RulesetStatus::NotEnforced => Grip::None,
    })
}
