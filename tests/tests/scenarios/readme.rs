//! What README tells people to type, taken from README and typed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use cargo_metadata::MetadataCommand;
use e2e::analysis::{Film, Sound, beats};
use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::process::{Process, Program, sibling, until};
use e2e::recorded::Recorded;
use e2e::servers::free_ports;
use nix::sys::signal::Signal;

use crate::{lecture, on_stage, passes};

const SOON: Duration = Duration::from_secs(60);

/// The shell commands below a heading, without their comments.
fn commands(heading: &str) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(e2e::root().join("README.md"))?;
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).with_context(|| format!("no {heading:?}"))?;
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let (_, block) = section.split_once("```sh\n").context("no commands")?;
    let (block, _) = block.split_once("```").context("commands without an end")?;
    Ok(block.lines().map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned()).collect())
}

/// `cargo install --path` would compile everything once more; whether it could is asked of cargo.
fn installable(path: &str) -> anyhow::Result<()> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let options = ["--locked", "--offline", "--filter-platform", &host].map(str::to_owned).to_vec();
    // Fails when Cargo.lock would have to change.
    let all = MetadataCommand::new().current_dir(e2e::root()).other_options(options).exec()?;
    let manifest = e2e::root().join(path).join("Cargo.toml").canonicalize()?;
    let package = all.packages.iter().find(|p| p.manifest_path.as_std_path() == manifest);
    let package = package.with_context(|| format!("{path} is no package of ours"))?;
    ensure!(package.targets.iter().any(|t| t.is_bin() && t.name == "lectern"), "{path} installs no lectern");
    Ok(())
}

/// Whether this machine has every package that `samples/install` installs.
fn prepared() -> anyhow::Result<()> {
    let asked = Command::new(e2e::root().join("samples/install")).arg("--no-install").output()?;
    ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    Ok(())
}

#[test]
fn the_commands_under_run_it_run_it() {
    on_stage(async |stage| {
        let folder = tempfile::tempdir()?;
        let home = folder.path().join("lectern");
        let log = folder.path().join("log");
        let (mut done, mut portal) = (Vec::new(), 0);
        for command in commands("Run it")? {
            let words: Vec<_> = command.split(' ').collect();
            let args = words[1..].iter().map(|word| word.replace("/srv/lectern", &home.to_string_lossy()));
            let lectern = || anyhow::Ok(Program::new(sibling("lectern")?).folder(folder.path()).args(args));
            match words.as_slice() {
                ["./samples/install"] => prepared()?,
                ["cargo", "install", "--locked", "--path", path] => installable(path)?,
                ["lectern", "init", _] => {
                    let status = Process::start(lectern()?, &log)?.wait(SOON)?;
                    ensure!(status.success(), "{}", fs::read_to_string(&log)?);
                    portal = at_home_here(&home, &stage.janus.url())?;
                }
                ["lectern", .., "check-config"] => {
                    Process::start(lectern()?, &log)?.wait(SOON)?;
                    let said = fs::read_to_string(&log)?;
                    let against: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("PROBLEM  ")).collect();
                    let [broker, speech] = against.as_slice() else { bail!("{said}") };
                    ensure!(
                        broker.starts_with("[broker]: cannot reach") && speech.starts_with("[transcriber]"),
                        "{said}"
                    );
                }
                ["lectern", .., "up"] => {
                    let up = Process::start(lectern()?, &log)?;
                    let url = format!("http://127.0.0.1:{portal}/healthz");
                    until("the portal answers", SOON, async || {
                        up.check()?;
                        Ok(reqwest::get(&url).await.is_ok_and(|a| a.status().is_success()).then_some(()))
                    })
                    .await?;
                    // As Ctrl-C does.
                    up.signal(Signal::SIGINT)?;
                    let status = up.wait(SOON)?;
                    ensure!(status.success() && up.tail().contains("lectern is down"), "{status}: {}", up.tail());
                }
                other => bail!("README says {other:?}, and nothing tries it"),
            }
            done.push(words.last().copied().unwrap_or_default().to_owned());
        }
        ensure!(done.len() == 5 && done.contains(&"up".into()), "{done:?}");
        Ok(())
    });
}

/// Ports that are free here, this run's meeting server, and a broker that is away. Returns the portal's port.
fn at_home_here(home: &Path, janus: &str) -> anyhow::Result<u16> {
    let file = home.join("lectern.toml");
    let [s3, origin, portal, nobody] = free_ports()?;
    let mut text = fs::read_to_string(&file)?;
    for (theirs, ours) in [("7090", s3), ("7080", origin), ("7081", portal), ("5672", nobody)] {
        text = text.replace(&format!("127.0.0.1:{theirs}"), &format!("127.0.0.1:{ours}"));
    }
    fs::write(&file, text.replace("ws://127.0.0.1:8188", janus))?;
    Ok(portal)
}

#[test]
fn the_commands_under_open_a_recording_open_and_prove_it() {
    on_stage(async |stage| {
        let [person, ..] = cast();
        let meeting = stage.meeting(&lecture("opening")).await?;
        let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
        let started = meeting.started().await?;
        passes(7).await;
        let ended = SystemTime::now();
        let ready = meeting.end().await?;
        drop(speaker);
        Recorded::open(stage, ready, started, &person)?.present(&person, started, ended)?;

        // What README names, as somebody has it who fetched it from the store.
        let archive = stage.archive(ready.recording)?;
        let folder = tempfile::tempdir()?;
        let (film, media) = (archive.media().join("final/0001"), archive.media().to_owned());
        for (from, name) in [
            (stage.lectern.key("archive.key"), "archive.key"),
            (stage.lectern.key("allowed_signers"), "allowed_signers"),
            (archive.keys().join("f01.key.age"), "f01.key.age"),
            (film.join("composite.mp4.age"), "composite.mp4.age"),
            (media.join("MANIFEST.0001.json"), "MANIFEST.0001.json"),
            (media.join("MANIFEST.0001.json.sig"), "MANIFEST.0001.json.sig"),
        ] {
            fs::copy(&from, folder.path().join(name)).with_context(|| format!("{from:?}"))?;
        }
        let script = commands("Open a recording without us")?;
        ensure!(script.len() == 3, "{script:?}");
        let shell = || {
            let ran = Command::new("sh").args(["-ec", &script.join("\n")]).current_dir(folder.path()).output();
            ran.context("run sh")
        };
        let ran = shell()?;
        ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let opened = folder.path().join("lecture.mp4");
        ensure!(fs::read(&opened)? == fs::read(stage.open(ready.recording)?)?, "another film");
        let seen = beats(&Film::decode(&opened)?, &Sound::decode(&opened)?, &person);
        ensure!(seen.flashes.len() >= 5 && seen.beeps.len() >= 5, "{seen:?}");

        let manifest = folder.path().join("MANIFEST.0001.json");
        fs::write(&manifest, fs::read_to_string(&manifest)?.replacen('1', "2", 1))?;
        ensure!(!shell()?.status.success(), "a manifest that was changed passes for signed");
        Ok(())
    });
}
