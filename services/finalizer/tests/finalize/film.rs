//! Makes films whose content tells its own time, and reads that time back from any file.
//!
//! The left half of the picture is as bright as the frame's number says; the right half flashes for the first three
//! frames of each second; a tone beeps for the first tenth of each second. All count from one common zero.

use std::path::Path;
use std::process::Command;

pub(crate) const FPS: u32 = 30;
const WIDTH: usize = 160;
const HEIGHT: usize = 90;
/// Brightness repeats after so many frames, in steps that no encoder blurs.
pub(crate) const CYCLE: u32 = 50;
/// Parts of a segment.
const PARTS: usize = 6;

/// One worker's two tracks.
pub(crate) struct Film {
    /// Frames after the common zero that it begins.
    pub(crate) begins: u32,
    pub(crate) video: Cmaf,
    pub(crate) audio: Cmaf,
}

/// One track as a recorder gets it from its muxer.
pub(crate) struct Cmaf {
    pub(crate) init: Vec<u8>,
    pub(crate) segments: Vec<Vec<u8>>,
}

/// How the encoder is set.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Style {
    /// As for live use: frames in the order they are shown, no edit list.
    Live,
    /// Frames in another order, with edit lists for their delay and for the sound's priming.
    Reordered,
}

impl Film {
    /// Films `frames` frames, of which the first is number `begins`.
    pub(crate) fn shoot(begins: u32, frames: u32, style: Style) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (video, audio) = (folder.path().join("v.mp4"), folder.path().join("a.mp4"));
        let picture = format!(
            "nullsrc=s={WIDTH}x{HEIGHT}:r={FPS},geq=cb=128:cr=128:\
             lum='if(lt(X,80),16+4*mod(N+{begins},{CYCLE}),if(lt(mod(N+{begins},{FPS}),3),235,16))'"
        );
        let from = f64::from(begins) / f64::from(FPS);
        let sound = format!("aevalsrc='if(lt(mod(t+{from},1),0.1),0.5*sin(2*PI*1000*t),0)':s=48000:c=stereo");
        let (flags, bframes) = match style {
            Style::Live => ("+empty_moov+default_base_moof", "0"),
            Style::Reordered => ("+empty_moov+delay_moov+default_base_moof", "2"),
        };
        let seconds = (f64::from(frames) / f64::from(FPS)).to_string();
        ffmpeg(&[
            "-f",
            "lavfi",
            "-i",
            &picture,
            "-t",
            &seconds,
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-qp",
            "12",
        ])
        .args(["-g", "48", "-sc_threshold", "0", "-bf", bframes, "-pix_fmt", "yuv420p"])
        .args(["-movflags", &format!("{flags}+frag_keyframe"), "-frag_duration", "533333"])
        .arg(&video)
        .run();
        ffmpeg(&["-f", "lavfi", "-i", &sound, "-t", &seconds, "-c:a", "aac", "-b:a", "96k"])
            .args(["-movflags", flags, "-frag_duration", "533333"])
            .arg(&audio)
            .run();
        Self {
            begins,
            video: Cmaf::cut(&std::fs::read(video).unwrap()),
            audio: Cmaf::cut(&std::fs::read(audio).unwrap()),
        }
    }
}

impl Cmaf {
    fn cut(file: &[u8]) -> Self {
        let (mut init, mut parts): (Vec<u8>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
        for (kind, bytes) in boxes(file) {
            match &kind {
                b"ftyp" | b"moov" => init.extend_from_slice(bytes),
                b"moof" => parts.push(bytes.to_vec()),
                b"mdat" => parts.last_mut().unwrap().extend_from_slice(bytes),
                _ => {}
            }
        }
        Self { init, segments: parts.chunks(PARTS).map(<[Vec<u8>]>::concat).collect() }
    }

    /// Where segment `n` begins, in nanoseconds of its worker's media time.
    pub(crate) fn begins(&self, n: usize) -> u64 {
        let at = |bytes: &[u8], name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap() + 4;
        let word = |bytes: &[u8], at: usize| u64::from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()));
        let mdhd = at(&self.init, b"mdhd");
        let timescale = word(&self.init, mdhd + if self.init[mdhd] == 1 { 20 } else { 12 });
        let segment = &self.segments[n];
        let tfdt = at(segment, b"tfdt");
        let ticks = if segment[tfdt] == 1 {
            word(segment, tfdt + 4) << 32 | word(segment, tfdt + 8)
        } else {
            word(segment, tfdt + 4)
        };
        ticks * 1_000_000_000 / timescale
    }
}

/// Top-level boxes: kind and all bytes.
pub(crate) fn boxes(mut file: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut found = Vec::new();
    while !file.is_empty() {
        let short = u32::from_be_bytes(file[..4].try_into().unwrap()) as usize;
        let size = if short == 1 { u64::from_be_bytes(file[8..16].try_into().unwrap()) as usize } else { short };
        let (one, rest) = file.split_at(size);
        found.push((one[4..8].try_into().unwrap(), one));
        file = rest;
    }
    found
}

/// A decoded picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Picture {
    /// When it is shown, in seconds.
    pub(crate) at: f64,
    /// Its number, modulo [`CYCLE`].
    pub(crate) number: u32,
    pub(crate) flash: bool,
}

/// Every picture of a file, decoded.
pub(crate) fn pictures(file: &Path) -> Vec<Picture> {
    let file = file.to_str().unwrap();
    let raw =
        ffmpeg(&["-i", file, "-map", "0:v", "-vsync", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"])
            .run();
    let times = frame_times(&["-select_streams", "v"], file);
    let size = WIDTH * HEIGHT * 3 / 2;
    assert_eq!(raw.len(), times.len() * size, "as many pictures as times");
    let mean = |picture: &[u8], columns: std::ops::Range<usize>| {
        let bright = (20..70).flat_map(|row| &picture[row * WIDTH..][columns.clone()]);
        f64::from(bright.map(|y| u32::from(*y)).sum::<u32>()) / (50 * columns.len()) as f64
    };
    times
        .into_iter()
        .zip(raw.chunks(size))
        .map(|(at, picture)| Picture {
            at,
            number: ((mean(picture, 20..60) - 16.0) / 4.0).round() as u32,
            flash: mean(picture, 100..140) > 128.0,
        })
        .collect()
}

/// When frames are shown, of those that `args` choose.
pub(crate) fn frame_times(args: &[&str], file: &str) -> Vec<f64> {
    let all = ["-show_entries", "frame=pts_time", "-of", "csv=p=0", file];
    let lines = ffprobe(&[args, &all].concat());
    lines.lines().map(|line| line.trim_end_matches(',')).filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect()
}

/// When flashes begin.
pub(crate) fn flashes(pictures: &[Picture]) -> Vec<f64> {
    let dark = pictures.windows(2).filter(|pair| !pair[0].flash && pair[1].flash);
    pictures.first().filter(|p| p.flash).into_iter().map(|p| p.at).chain(dark.map(|pair| pair[1].at)).collect()
}

/// When beeps begin, by decoding the sound from the file's time zero.
pub(crate) fn beeps(file: &Path) -> Vec<f64> {
    let sound = sound(file);
    let loud = |from: usize| sound[from..(from + 48).min(sound.len())].iter().any(|s| s.abs() > 4000);
    let mut found = Vec::new();
    let mut quiet_since = 0;
    for at in (0..sound.len()).step_by(48) {
        if !loud(at) {
            continue;
        }
        if at - quiet_since > 4800 || found.is_empty() {
            let exact = sound[at..].iter().position(|s| s.abs() > 4000).unwrap_or(0);
            found.push((at + exact) as f64 / 48_000.0);
        }
        quiet_since = at;
    }
    found
}

/// The decoded sound, mono, 48 kHz, from the file's time zero.
pub(crate) fn sound(file: &Path) -> Vec<i16> {
    let file = file.to_str().unwrap();
    let raw = ffmpeg(&["-i", file, "-map", "0:a", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", "48000"])
        .args(["-f", "s16le", "-"])
        .run();
    raw.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

/// A program that must end well and say nothing wrong.
pub(crate) struct Tool(Command);

pub(crate) fn ffmpeg(args: &[&str]) -> Tool {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-nostdin"]).args(args);
    Tool(command)
}

pub(crate) fn ffprobe(args: &[&str]) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error"]).args(args);
    String::from_utf8(Tool(command).run()).unwrap()
}

impl Tool {
    pub(crate) fn of(program: &str) -> Self {
        Self(Command::new(program))
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn arg(mut self, arg: &Path) -> Self {
        self.0.arg(arg);
        self
    }

    /// Its output. Any complaint is a failure.
    pub(crate) fn run(mut self) -> Vec<u8> {
        let done = self.0.output().unwrap_or_else(|why| panic!("{:?} must be installed: {why}", self.0.get_program()));
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && complaint.is_empty(), "{:?}: {complaint}", self.0);
        done.stdout
    }
}
