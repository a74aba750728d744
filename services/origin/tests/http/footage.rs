//! Real H.264 and AAC that ffmpeg made, cut into CMAF parts as a compositor cuts them. The picture carries the number of
//! each frame since a common noon as bits, so that what a viewer saw can be told to the frame.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use media::Rendition;

pub(crate) const FPS: u32 = 30;

/// Frames of a part: 16 of the picture last as long as 25 of the sound.
pub(crate) const PART: u32 = 16;

pub(crate) const PARTS: usize = 6;

const BITS: u32 = 12;

/// One rendition: its init section and its parts.
#[derive(Clone)]
pub(crate) struct Cut {
    pub(crate) rendition: Rendition,
    pub(crate) init: Vec<u8>,
    pub(crate) parts: Vec<Vec<u8>>,
}

/// How long a part lasts.
pub(crate) fn part() -> Duration {
    Duration::from_secs(1) * PART / FPS
}

/// `parts` parts of picture and sound, the first frame of which is `first`.
pub(crate) fn footage(folder: &Path, first: u32, parts: u32) -> [Cut; 2] {
    let bit = |n: u32| {
        let on = format!("gte(mod(floor((n+{first})/{}),2),1)", 1_u32 << n);
        format!("drawbox=x={}:y=0:w=40:h=80:color=white:t=fill:enable='{on}'", 80 + 40 * n)
    };
    // A white and a black field first, to know both by.
    let bits: Vec<String> = (0..BITS).map(bit).collect();
    let picture =
        format!("color=black:size=640x160:rate={FPS},drawbox=x=0:y=0:w=40:h=80:color=white:t=fill,{}", bits.join(","));
    let sound = "sine=frequency=440:sample_rate=48000".to_owned();
    let video = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 48 -sc_threshold 0 -bf 0";
    let sources = [(Rendition::video(), picture, video), (Rendition::audio(), sound, "-c:a aac -b:a 128k -ac 2")];
    sources.map(|(rendition, input, codec)| {
        let file = folder.join(format!("{rendition}-{first}.mp4"));
        let seconds = (part() * parts).as_secs_f64().to_string();
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "lavfi", "-i", &input, "-t", &seconds])
            .args(codec.split(' '))
            .args(["-movflags", "+empty_moov+default_base_moof+skip_trailer", "-frag_duration", "533333"])
            .arg(&file)
            .status()
            .expect("ffmpeg is installed");
        assert!(done.success());
        let (init, cut) = split(&std::fs::read(&file).unwrap());
        assert!(cut.len() >= parts as usize - 1, "{} parts of {rendition}, not {parts}", cut.len());
        Cut { rendition, init, parts: cut }
    })
}

/// Init section and chunks of a fragmented file (ISO/IEC 14496-12 4.2).
fn split(file: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut init, mut parts, mut rest) = (Vec::new(), Vec::<Vec<u8>>::new(), file);
    while let Some((head, _)) = rest.split_first_chunk::<8>() {
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (whole, after) = rest.split_at(size);
        match &head[4..] {
            b"ftyp" | b"moov" => init.extend_from_slice(whole),
            b"moof" => parts.push(whole.to_vec()),
            b"mdat" => parts.last_mut().unwrap().extend_from_slice(whole),
            _ => {}
        }
        rest = after;
    }
    (init, parts)
}

/// The numbers of all frames in `segment` after its `init` section, in order, by decoding them.
pub(crate) fn frames(folder: &Path, init: &[u8], segment: &[u8]) -> Vec<u32> {
    let file = folder.join("seen.mp4");
    std::fs::write(&file, [init, segment].concat()).unwrap();
    seen_by_ffmpeg(&["-i", file.to_str().unwrap()])
}

/// The numbers of all frames that ffmpeg decodes from `input`.
pub(crate) fn seen_by_ffmpeg(input: &[&str]) -> Vec<u32> {
    let out = Command::new("ffmpeg")
        .args(["-v", "fatal"])
        .args(input)
        // One pixel out of the middle of each field.
        .args(["-map", "0:v:0", "-vf", "crop=600:80:0:0,scale=15:1:flags=area,format=gray"])
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-"])
        .output()
        .expect("ffmpeg is installed");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout.chunks_exact(15).map(number).collect()
}

fn number(fields: &[u8]) -> u32 {
    assert!(fields[0] > 180 && fields[1] < 80, "no frame of ours: {fields:?}");
    (0..BITS).map(|n| u32::from(fields[n as usize + 2] > 128) << n).sum()
}

/// For a page: the number of the frame that `video` shows, or -1.
pub(crate) const READ: &str = "
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [640, 160];
    const paint = canvas.getContext('2d', { willReadFrequently: true });
    const read = (video) => {
      paint.drawImage(video, 0, 0, 640, 160);
      const light = (n) => paint.getImageData(40 * n + 20, 40, 1, 1).data[1];
      if (light(0) < 180 || light(1) > 80) return -1;
      let number = 0;
      for (let n = 0; n < 12; n += 1) if (light(n + 2) > 128) number += 2 ** n;
      return number;
    };
";
