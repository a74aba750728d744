//! What a caged process may still do, tried from inside: each thing first outside of the cage, where it must go well,
//! then in it. The program starts itself a second time for that, since a cage is for good, and it has a `main` of its
//! own, since a cage is closed by a process of one thread.

#![allow(clippy::expect_used, reason = "a test says what it missed")]

use std::fs::{File, OpenOptions};
use std::io::{Error, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{getppid, getuid, setuid};
use recorder::cage;

type Outcome = Result<(), Error>;

/// What is around the cage.
struct Around {
    folder: PathBuf,
    /// The meeting's server, and another one.
    server: u16,
    other: u16,
    /// Opened before the cage was closed.
    open: File,
}

/// How a thing goes in the cage.
enum Goes {
    Well,
    /// With one of these errors.
    Refused(&'static [i32]),
}

const NO: &[i32] = &[libc::EPERM, libc::EACCES];

type Trial = (&'static str, Goes, fn(&Around) -> Outcome);

#[rustfmt::skip]
const TRIALS: &[Trial] = &[
    // what a recording needs
    ("read a font",               Goes::Well,            |_| one_byte(Path::new("/usr/share/fonts"))),
    ("list certificates",         Goes::Well,            |_| std::fs::read_dir("/etc/ssl/certs").map(drop)),
    ("look a name up",            Goes::Well,            |_| ("localhost", 80).to_socket_addrs().map(drop)),
    ("connect to the server",     Goes::Well,            |around| connect(around.server)),
    ("send and receive UDP",      Goes::Well,            |_| udp()),
    ("ask for own addresses",     Goes::Well,            |_| open(AddressFamily::Netlink, SockType::Raw)),
    ("start a thread",            Goes::Well,            |_| std::thread::Builder::new().spawn(|| {}).map(drop)),
    ("write into nothing",        Goes::Well,            |_| OpenOptions::new().write(true).open("/dev/null")?.write_all(b"x")),
    // what it does not
    ("read a key",                Goes::Refused(NO),     |around| one_byte(&around.folder.join("key"))),
    ("read accounts",             Goes::Refused(NO),     |_| one_byte(Path::new("/etc/passwd"))),
    ("read another's memory",     Goes::Refused(NO),     |_| File::open(format!("/proc/{}/status", getppid())).map(drop)),
    ("list a folder",             Goes::Refused(NO),     |around| std::fs::read_dir(&around.folder).map(drop)),
    ("make a file",               Goes::Refused(NO),     |around| File::create(around.folder.join("new")).map(drop)),
    ("write a file",              Goes::Refused(NO),     |around| OpenOptions::new().append(true).open(around.folder.join("key")).map(drop)),
    ("make a folder",             Goes::Refused(NO),     |around| make_folder(&around.folder.join("sub"))),
    ("rename a file",             Goes::Refused(NO),     |around| std::fs::rename(around.folder.join("key"), around.folder.join("key"))),
    ("link a file",               Goes::Refused(NO),     |around| fresh(around, "link", |at| std::os::unix::fs::symlink("key", at))),
    ("remove a file",             Goes::Refused(NO),     |around| fresh(around, "gone", |at| File::create(at).map(drop))),
    ("fill an open file",         Goes::Refused(&[libc::EFBIG]), |around| (&around.open).write_all(b"x")),
    ("connect to another port",   Goes::Refused(NO),     |around| connect(around.other)),
    ("bind TCP",                  Goes::Refused(NO),     |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)),
    ("connect to a UNIX socket",  Goes::Refused(NO),     |around| UnixStream::connect(around.folder.join("socket")).map(drop)),
    ("open a raw socket",         Goes::Refused(NO),     |_| open(AddressFamily::Inet, SockType::Raw)),
    ("signal the worker",         Goes::Refused(NO),     |_| Ok(kill(getppid(), None)?)),
    ("leave the shared view",     Goes::Refused(NO),     |_| Ok(unshare(CloneFlags::CLONE_FS)?)),
    ("become somebody",           Goes::Refused(NO),     |_| Ok(setuid(getuid())?)),
    ("start a program",           Goes::Refused(NO),     |_| Command::new("/bin/true").status().map(drop)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "inside") {
        return inside(&arguments);
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), "AGE-SECRET-KEY-1").expect("a key");
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a server");
    let port = |server: &TcpListener| server.local_addr().expect("an address").port().to_string();
    let (server, other) = (listen(), listen());
    let _socket = UnixListener::bind(folder.path().join("socket")).expect("a socket");
    // By pipes: in the cage, no file can be written to that was opened before.
    let run = Command::new(&arguments[0])
        .args(["inside".as_ref(), folder.path().as_os_str(), port(&server).as_ref(), port(&other).as_ref()])
        .output()
        .expect("itself");
    print!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn inside(arguments: &[String]) -> ExitCode {
    let [_, _, folder, server, other] = arguments else { panic!("{arguments:?}") };
    let folder = PathBuf::from(folder);
    let open = File::create(folder.join("open")).expect("a file");
    let port = |text: &String| text.parse().expect("a port");
    let around = Around { open, folder, server: port(server), other: port(other) };

    let outside: Vec<Outcome> = TRIALS.iter().map(|(_, _, trial)| trial(&around)).collect();
    std::thread::scope(|scope| {
        let second = scope.spawn(std::thread::park);
        let refused = cage::close(&[around.server]);
        assert!(matches!(refused, Err(cage::CageError::Threads(2))), "{refused:?}");
        second.thread().unpark();
    });
    // The thread is joined before the kernel has forgotten it.
    while std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        std::thread::yield_now();
    }
    let held = cage::close(&[around.server]).expect("a cage");
    println!("{held:?}");

    let mut wrong = 0;
    // As all of GStreamer's threads, this one begins in the cage.
    let caged: Vec<Outcome> = std::thread::scope(|scope| {
        scope.spawn(|| TRIALS.iter().map(|(_, _, trial)| trial(&around)).collect()).join().expect("outcomes")
    });
    for ((name, goes, _), (outside, caged)) in TRIALS.iter().zip(outside.iter().zip(&caged)) {
        let needs_root = *name == "open a raw socket" && !getuid().is_root();
        let as_meant = match goes {
            Goes::Well => caged.is_ok(),
            Goes::Refused(errors) => {
                caged.as_ref().is_err_and(|error| error.raw_os_error().is_some_and(|code| errors.contains(&code)))
            }
        };
        let right = as_meant && (outside.is_ok() || needs_root);
        wrong += usize::from(!right);
        println!("{} {name}: outside {outside:?}, caged {caged:?}", if right { "ok   " } else { "WRONG" });
    }
    // Last, since it would end the tests here.
    let replaced = Command::new("/bin/false").exec();
    let right = replaced.raw_os_error() == Some(libc::EPERM);
    println!("{} become another program: {replaced:?}", if right { "ok   " } else { "WRONG" });
    wrong += usize::from(!right) + usize::from(!held.whole());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one_byte(of: &Path) -> Outcome {
    let mut at = of.to_owned();
    // Some file below it.
    while at.is_dir() {
        at = std::fs::read_dir(&at)?.next().ok_or(Error::from_raw_os_error(libc::ENOENT))??.path();
    }
    File::open(at)?.read_exact(&mut [0])
}

/// Makes something and removes it again.
fn fresh(around: &Around, name: &str, make: impl FnOnce(&Path) -> Outcome) -> Outcome {
    let at = around.folder.join(name);
    make(&at)?;
    std::fs::remove_file(at)
}

fn make_folder(at: &Path) -> Outcome {
    std::fs::create_dir(at)?;
    std::fs::remove_dir(at)
}

fn connect(port: u16) -> Outcome {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop)
}

fn udp() -> Outcome {
    let [one, two] = [UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?];
    one.send_to(b"x", two.local_addr()?)?;
    two.recv(&mut [0]).map(drop)
}

fn open(family: AddressFamily, kind: SockType) -> Outcome {
    // Of the family's own default protocol; ICMP where there is none.
    let protocol = (family == AddressFamily::Inet).then_some(nix::sys::socket::SockProtocol::Icmp);
    Ok(socket(family, kind, SockFlag::empty(), protocol).map(drop)?)
}
