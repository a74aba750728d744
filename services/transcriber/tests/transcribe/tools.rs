//! Speech from espeak-ng, films from ffmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Every word of it is in the fixture's vocabulary.
pub(crate) const LECTURE: &str = "Welcome to the physics lecture. Today we record the lecture in the university \
    library. Please open the next slide. The computer is secure and the file is encrypted.";

/// Runs a program that must end well and say nothing wrong. Its output.
pub(crate) fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let done = Command::new(program).args(args).output();
    let done = done.unwrap_or_else(|why| panic!("{program} must be installed: {why}"));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && complaint.is_empty(), "{program} {args:?}: {complaint}");
    done.stdout
}

/// A film of `seconds` whose sound is the lecture, begun after `delay` seconds, with beeps of `beep` Hz over it, as
/// participants in tests make them.
pub(crate) fn film(folder: &Path, delay: u32, seconds: u32, beep: u32) -> PathBuf {
    let (speech, film) = (folder.join("speech.wav"), folder.join("film.mp4"));
    let (speech_name, film_name) = (speech.to_str().unwrap(), film.to_str().unwrap());
    run("espeak-ng", &["-v", "en-us", "-w", speech_name, LECTURE]);
    let beeps = format!("aevalsrc='0.3*lt(mod(t,1),0.1)*sin(2*PI*{beep}*t)':s=48000:d={seconds}");
    let mix = format!(
        "[0:a]aresample=48000,adelay={0}:all=1,apad[a];[a][1:a]amix=inputs=2:duration=shortest:normalize=0,\
         aformat=channel_layouts=stereo",
        delay * 1000
    );
    let picture = format!("color=black:s=64x36:r=5:d={seconds}");
    let mut args = vec!["-v", "error", "-y", "-nostdin", "-i", speech_name];
    args.extend(["-f", "lavfi", "-i", &beeps, "-f", "lavfi", "-i", &picture, "-filter_complex", &mix]);
    args.extend([
        "-map",
        "2:v",
        "-c:v",
        "libx264",
        "-c:a",
        "aac",
        "-b:a",
        "128k",
        "-movflags",
        "+faststart",
        film_name,
    ]);
    run("ffmpeg", &args);
    film
}

/// Share of the words of `said` that `heard` has not, in order.
pub(crate) fn wer(said: &str, heard: &str) -> f64 {
    let plain = |text: &str| -> Vec<String> {
        let kept: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
        kept.split_whitespace().map(str::to_owned).collect()
    };
    let (said, heard) = (plain(said), plain(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, other) in heard.iter().enumerate() {
            let change = corner + usize::from(word != other);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[heard.len()] as f64 / said.len() as f64
}
