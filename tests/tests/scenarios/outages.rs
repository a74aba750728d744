//! Lectern starts while something that it needs is away or wrong: it says so with what to do, and goes on when that was
//! done. What goes away in the middle of a meeting stands in `trouble`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use e2e::analysis::words::error_rate;
use e2e::news::News;
use e2e::participants::cast;
use e2e::participants::publisher::Media;
use e2e::process::{Process, Program, sibling, until};
use e2e::recorded::Recorded;
use e2e::speech::{self, speak};
use e2e::stage::Stage;
use events::Body;
use gstreamer::prelude::PluginFeatureExt;

use crate::{lecture, on_stage, passes};

/// Long enough for a service to be started again and for a busy machine, short enough for a test that fails.
const SOON: Duration = Duration::from_secs(60);

/// Plays `scenario` with Lectern stopped, and leaves everything running as it was before, however that ended.
async fn from_the_start(
    stage: &mut Stage,
    scenario: impl AsyncFnOnce(&mut Stage) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = fs::read_to_string(stage.lectern.config())?;
    stage.lectern.stop()?;
    let outcome = scenario(stage).await;
    // Fails when the scenario has not come so far as to start it, or has stopped it.
    let _ = stage.lectern.stop();
    fs::write(stage.lectern.config(), config)?;
    stage.janus.stop();
    stage.janus.again().await?;
    stage.lectern.up().await?;
    outcome
}

/// Waits until the log, from its byte `from` on, holds `words`.
async fn logged(stage: &Stage, from: usize, words: &str) -> anyhow::Result<()> {
    until(&format!("the log says {words:?}"), SOON, async || {
        stage.lectern.check()?;
        let log = fs::read(stage.lectern.log())?;
        Ok(String::from_utf8_lossy(&log[from..]).contains(words).then_some(()))
    })
    .await
}

fn log_length(stage: &Stage) -> anyhow::Result<usize> {
    Ok(fs::read(stage.lectern.log())?.len())
}

/// What `check-config` has against `what`, which must be something.
fn problem(stage: &Stage, what: &str) -> anyhow::Result<String> {
    let answer = stage.lectern.run(&["check-config", "--json"])?;
    ensure!(!answer.status.success(), "check-config is content: {}", answer.out);
    finding(&answer.out, what)
}

fn finding(told: &str, what: &str) -> anyhow::Result<String> {
    let told: serde_json::Value = serde_json::from_str(told).with_context(|| told.to_owned())?;
    let findings = told["findings"].as_array().context("findings")?;
    let found = findings.iter().find(|f| f["what"] == what && f["ok"] == false);
    let problem = found.with_context(|| format!("nothing against {what}: {told}"))?["problem"].as_str();
    Ok(problem.unwrap_or_default().to_owned())
}

async fn a_meeting_is_recorded(stage: &Stage) -> anyhow::Result<()> {
    let [person, ..] = cast();
    let meeting = stage.meeting(&lecture("beginning late")).await?;
    let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
    let started = meeting.started().await?;
    passes(7).await;
    let ended = SystemTime::now();
    let ready = meeting.end().await?;
    drop(speaker);
    Recorded::open(stage, ready, started, &person)?.present(&person, started, ended)
}

#[test]
fn a_meeting_server_that_is_away_at_the_start_is_waited_for() {
    const ADVICE: &str = "see that it runs and that its url is right";
    on_stage(async |stage| {
        from_the_start(stage, async |stage| {
            stage.lectern.configure("recorder.limits.join_attempts = 2")?;
            stage.janus.stop();
            let from = log_length(stage)?;
            stage.lectern.up().await?;
            let said = problem(stage, "[meeting.campus]")?;
            ensure!(said.contains("cannot be reached") && said.ends_with(ADVICE), "{said}");

            // Somebody wants a recording all the same.
            let news = News::of(&stage.broker, 4712).await?;
            news.tell(Body::RecordingRequested(stage.wish()?)).await?;
            let (_, failed) = news.wait_failed(SOON).await?;
            ensure!(failed.reason == "unreachable" && failed.retryable, "{failed:?}");
            logged(stage, from, ADVICE).await?;

            stage.janus.again().await?;
            a_meeting_is_recorded(stage).await
        })
        .await
    });
}

#[test]
fn a_store_that_is_away_at_the_start_is_waited_for() {
    const ADVICE: &str = "see that it runs and that store.endpoint is right";
    on_stage(async |stage| {
        from_the_start(stage, async |stage| {
            // The embedded store as another machine's, which this Lectern does not start.
            let theirs = stage.lectern.folder().join("store.toml");
            let mut config: toml::Table = fs::read_to_string(stage.lectern.config())?.parse()?;
            fs::write(&theirs, config.to_string())?;
            config["up"].as_table_mut().context("[up]")?.remove("s3");
            fs::write(stage.lectern.config(), config.to_string())?;

            let from = log_length(stage)?;
            stage.lectern.begin()?;
            logged(stage, from, ADVICE).await?;
            let said = problem(stage, "[store]")?;
            ensure!(said.contains("does not answer") && said.contains(ADVICE), "{said}");

            let store = Program::new(sibling("lectern")?).args(["service", "s3", "--config"]).args([&theirs]);
            let store = Process::start(store, &stage.lectern.folder().join("store.log"))?;
            logged(stage, from, "recorder takes requests").await?;
            stage.lectern.answers().await?;
            a_meeting_is_recorded(stage).await?;
            stage.lectern.stop()?;
            drop(store);
            Ok(())
        })
        .await
    });
}

#[test]
fn a_speech_model_that_is_not_whole_costs_the_transcript_alone_and_that_until_it_is() {
    on_stage(async |stage| {
        from_the_start(stage, async |stage| {
            let whole = fs::read(e2e::root().join("samples/speech-model/ggml-lecture-test.bin"))?;
            let (half, mut altered) = (&whole[..whole.len() / 2], whole.clone());
            altered[whole.len() / 2] ^= 1;
            let model = stage.inputs().join("model.bin");
            stage.lectern.configure(&format!("transcriber.models.en.path = {model:?}"))?;
            let table: [(Option<&[u8]>, &str); 3] =
                [(None, "there is no speech model"), (Some(&altered), "has SHA-256"), (Some(half), "ends too early")];
            for (bytes, words) in table {
                match bytes {
                    Some(bytes) => fs::write(&model, bytes)?,
                    None => ensure!(!model.exists()),
                }
                let said = problem(stage, "[transcriber]")?;
                ensure!(said.contains(words) && said.contains("model.bin") && said.contains("download it"), "{said}");
            }

            let from = log_length(stage)?;
            stage.lectern.up().await?;
            let sentences = speech::lecture(&stage.inputs().join("speech"))?;
            let [person, ..] = cast();
            let meeting = stage.meeting(&lecture("words to come")).await?;
            let waiting = meeting.news.parked().await?;
            let speaker = stage.join(&meeting.room, &person, &Media::default()).await?;
            let started = meeting.started().await?;
            passes(2).await;
            let spoken = speak(&speaker, &sentences, Instant::now() + Duration::from_secs(10)).await?;
            let ended = SystemTime::now();
            let ready = meeting.end().await?;
            drop(speaker);
            let failed = |body: &Body| match body {
                Body::TranscriptFailed(failed) => Some(failed.clone()),
                _ => None,
            };
            let (_, failed) = meeting.news.hear("transcript.failed", SOON, failed).await?;
            ensure!(failed.reason == "model-truncated" && failed.retryable, "{failed:?}");
            logged(stage, from, "ends too early").await?;
            until("the work is kept for a person", SOON, async || {
                Ok((meeting.news.parked().await? == waiting + 1).then_some(()))
            })
            .await?;

            let film = Recorded::open(stage, ready, started, &person)?;
            film.present(&person, started, ended)?;
            let served = stage.lectern.portal()?.film(ready.recording).await?;
            ensure!(served == fs::read(stage.open(ready.recording)?)?, "the portal serves another film");

            fs::write(&model, &whole)?;
            let (_, event) = meeting.news.wait("recording.ready", SOON).await?;
            meeting.news.repeat(&event).await?;
            let done = |body: &Body| matches!(body, Body::TranscriptReady(_)).then_some(());
            meeting.news.hear("transcript.ready", SOON, done).await?;
            let out = stage.opened().join("late.txt");
            let text = stage.archive(ready.recording)?.text(&stage.lectern.key("archive.key"), "en", "txt", &out)?;
            // `[hh:mm:ss] words`, below what is said about the model.
            let lines = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("] "));
            let heard = lines.map(|(_, words)| words).collect::<Vec<_>>().join(" ");
            let wrong = error_rate(&spoken, &heard);
            ensure!(wrong < 0.3, "{wrong:.2} of the words are wrong: {spoken:?} became {heard:?}");
            Ok(())
        })
        .await
    });
}

/// A GStreamer installation with every plugin of this machine's but the one that has `element`.
fn without(element: &str, folder: &std::path::Path) -> anyhow::Result<[(&'static str, PathBuf); 2]> {
    gstreamer::init()?;
    let factory = gstreamer::ElementFactory::find(element).context("not installed here either")?;
    let its = factory.plugin().and_then(|plugin| plugin.filename());
    let its = its.context("a plugin of its own")?;
    let plugins = folder.join("plugins");
    fs::create_dir_all(&plugins)?;
    for plugin in fs::read_dir(its.parent().context("a folder")?)? {
        let plugin = plugin?.path();
        if plugin != its {
            symlink(&plugin, plugins.join(plugin.file_name().context("a name")?))?;
        }
    }
    Ok([("GST_PLUGIN_SYSTEM_PATH_1_0", plugins), ("GST_REGISTRY_1_0", folder.join("registry"))])
}

#[test]
fn a_missing_element_is_named_with_its_package_and_no_recorder_starts_without_it() {
    on_stage(async |stage| {
        let folder = tempfile::tempdir()?;
        let lacking = without("x264enc", folder.path())?;
        let run = |args: &[&str], log: &str| {
            let program =
                Program::new(sibling("lectern")?).args(args).args(["--config"]).args([stage.lectern.config()]);
            let program = lacking.iter().fold(program, |program, (name, value)| program.env(name, value));
            let log = folder.path().join(log);
            let status = Process::start(program, &log)?.wait(SOON)?;
            anyhow::Ok((status, fs::read_to_string(&log)?))
        };
        let (status, told) = run(&["check-config", "--json"], "check")?;
        ensure!(!status.success());
        let answer = told.lines().find(|line| line.starts_with('{')).with_context(|| told.clone())?;
        let problem = finding(answer, "GStreamer elements")?;
        ensure!(problem == "GStreamer lacks x264enc; apt-get install gstreamer1.0-plugins-ugly", "{problem}");
        let (status, told) = run(&["service", "recorder"], "recorder")?;
        ensure!(!status.success() && told.contains(&problem), "{status}: {told}");
        Ok(())
    });
}

#[test]
fn with_one_recipient_nothing_starts() {
    on_stage(async |stage| {
        let mut config: toml::Table = fs::read_to_string(stage.lectern.config())?.parse()?;
        config["seal"]["recipients"].as_array_mut().context("recipients")?.truncate(1);
        let file = stage.lectern.folder().join("one.toml");
        fs::write(&file, config.to_string())?;
        let up = Program::new(sibling("lectern")?).args(["up", "--config"]).args([&file]);
        let up = Process::start(up, &stage.inputs().join("one.log"))?;
        let status = up.wait(SOON)?;
        let said = up.tail();
        ensure!(!status.success() && said.contains("needs two"), "{status}: {said}");
        ensure!(said.trim_end().ends_with("make them with `lectern keys new`"), "{said}");
        ensure!(!said.contains("started"), "{said}");
        Ok(())
    });
}
