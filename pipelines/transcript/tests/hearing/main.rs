//! The true path on the fixture model and real synthetic speech. Needs espeak-ng and ffmpeg.

#[cfg(test)]
mod common;
#[cfg(test)]
mod model;
#[cfg(test)]
mod speech;
