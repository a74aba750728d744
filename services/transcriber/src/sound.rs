//! The sound of a film, unsealed and decoded piece by piece, as 16 kHz mono. Blocks; never on disk, and never more of
//! it in memory than a few seconds.
//!
//! The decoder is written in safe Rust and sees only what our own encoder made, so it may run beside a key; what
//! strangers sent was decoded in the recorder's media process, which has none.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Mutex;

use rubato::{Resampler, SincFixedIn, SincInterpolationParameters, SincInterpolationType, WindowFunction};
use storage::{SealedReader, StoreError};
use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::{CODEC_TYPE_AAC, Decoder, DecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::FormatReader;
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::default::{codecs::AacDecoder, formats::IsoMp4Reader};
use transcript::RATE;

/// Input frames per resampling step.
const STEP: usize = 4800;

#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    #[error("the film has no AAC track")]
    Silent,
    #[error("could not fetch the film")]
    Store(#[source] StoreError),
    #[error("cannot decode the film's sound")]
    Decode(#[source] Symphonia),
    #[error("cannot resample from {0} Hz")]
    Rate(u32),
}

impl From<Symphonia> for SoundError {
    /// What the store said comes out of the decoder as it went in.
    fn from(error: Symphonia) -> Self {
        match error {
            Symphonia::IoError(why) => match why.downcast::<StoreError>() {
                Ok(store) => Self::Store(store),
                Err(why) => Self::Decode(Symphonia::IoError(why)),
            },
            other => Self::Decode(other),
        }
    }
}

/// An iterator over blocks of samples at [`RATE`].
pub struct Sound {
    film: IsoMp4Reader,
    decoder: AacDecoder,
    track: u32,
    resampler: SincFixedIn<f32>,
    /// Mono at the film's rate, about one step of it.
    waiting: Vec<f32>,
    /// Where the next packet should begin, in samples of the film.
    next: u64,
    ended: bool,
}

impl std::fmt::Debug for Sound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sound").field("track", &self.track).finish_non_exhaustive()
    }
}

impl Sound {
    /// Opens the audio track of `film`.
    ///
    /// # Errors
    /// When it is no MP4 with AAC in it.
    pub fn open(film: SealedReader) -> Result<Self, SoundError> {
        let stream =
            MediaSourceStream::new(Box::new(Film { len: film.len(), film: Mutex::new(film) }), Default::default());
        let film = IsoMp4Reader::try_new(stream, &Default::default())?;
        let track = film.tracks().iter().find(|track| track.codec_params.codec == CODEC_TYPE_AAC);
        let track = track.ok_or(SoundError::Silent)?;
        let rate = track.codec_params.sample_rate.ok_or(SoundError::Silent)?;
        let decoder = AacDecoder::try_new(&track.codec_params, &DecoderOptions::default())?;
        let quality = SincInterpolationParameters {
            // At 48 kHz, 64 would let what lies above Whisper's band fold into it.
            sinc_len: 256,
            f_cutoff: 0.92,
            interpolation: SincInterpolationType::Nearest,
            oversampling_factor: 64,
            window: WindowFunction::BlackmanHarris2,
        };
        let resampler = SincFixedIn::new(f64::from(RATE) / f64::from(rate), 1.0, quality, STEP, 1);
        let resampler = resampler.map_err(|_| SoundError::Rate(rate))?;
        Ok(Self { track: track.id, film, decoder, resampler, waiting: Vec::new(), next: 0, ended: false })
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    /// When the film cannot be read on.
    pub fn next_block(&mut self) -> Result<Option<Vec<f32>>, SoundError> {
        while self.waiting.len() < STEP && !self.ended {
            self.decode()?;
        }
        if self.waiting.is_empty() {
            return Ok(None);
        }
        // The last block is filled up with silence, so that its samples come out of the filter.
        self.waiting.resize(self.waiting.len().max(STEP), 0.0);
        let rest = self.waiting.split_off(STEP);
        let step = std::mem::replace(&mut self.waiting, rest);
        let mut out = self.resampler.process(&[step], None).map_err(|_| SoundError::Rate(RATE))?;
        Ok(Some(out.pop().unwrap_or_default()))
    }

    fn decode(&mut self) -> Result<(), SoundError> {
        let packet = match self.film.next_packet() {
            Ok(packet) if packet.track_id() == self.track => packet,
            Ok(_) => return Ok(()),
            Err(Symphonia::IoError(end)) if end.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = true;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // A packet that lasts longer than its sound bridges a gap: its time must pass all the same.
        let silent = packet.ts().saturating_sub(self.next);
        self.waiting.extend(std::iter::repeat_n(0.0, usize::try_from(silent).unwrap_or(0)));
        let before = self.waiting.len();
        let decoded = self.decoder.decode(&packet);
        match decoded {
            Ok(sound) => {
                let spec = *sound.spec();
                let mut samples = SampleBuffer::<f32>::new(sound.capacity() as u64, spec);
                samples.copy_interleaved_ref(sound);
                let channels = spec.channels.count().max(1);
                let mono =
                    samples.samples().chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32);
                self.waiting.extend(mono);
            }
            // One broken packet is a click, not the end of a transcript.
            Err(Symphonia::DecodeError(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.next = packet.ts() + (self.waiting.len() - before) as u64;
        Ok(())
    }
}

/// A sealed film as symphonia wants it. Only one thread ever reads; the lock is there for its `Sync`.
struct Film {
    film: Mutex<SealedReader>,
    len: u64,
}

impl Film {
    fn with<T>(&mut self, act: impl FnOnce(&mut SealedReader) -> io::Result<T>) -> io::Result<T> {
        let film = self.film.get_mut().map_err(|_| io::Error::other("a reader of the film panicked"))?;
        // Symphonia says "unexpected end" where a film ends well, so what is amiss in ours must have another name.
        act(film).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::InvalidData, error),
            _ => error,
        })
    }
}

impl Read for Film {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.with(|film| film.read(into))
    }
}

impl Seek for Film {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.with(|film| film.seek(to))
    }
}

impl MediaSource for Film {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}
