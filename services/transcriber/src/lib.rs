//! Writes down what was said: unseals a ready recording's sound, runs Whisper on it, seals transcript and captions, and
//! publishes them as the recording's next generation.
//!
//! # Design
//! A transcript is vouched for like everything else: the manifest of the next generation repeats what the one before
//! listed, adds the text, names the hash of the one before, and is signed. The film stays where it is. When there is no
//! usable model the recording stays READY and `transcript.failed` says why.

mod config;
mod error;
mod sound;
mod text;
mod work;
mod write;

use chassis::Sections;

pub use config::{Config, ModelFile, Models, NoModel};
pub use error::TranscribeError;
pub use sound::{Sound, SoundError};
pub use work::run;
pub use write::{Done, Transcriber};

/// For `lectern check-config`: every configured model is there, whole, as its hash says, and knows
/// its language.
///
/// # Errors
/// The first model that cannot be used.
pub fn check(sections: &Sections) -> anyhow::Result<()> {
    let config = Config::read(sections)?;
    anyhow::ensure!(
        !config.models.is_empty(),
        "no speech model is configured, so recordings get no transcript; add [transcriber.models.default]"
    );
    for language in config.models.keys() {
        let model = config.load(language)?;
        anyhow::ensure!(
            language == "default" || model.hears(language).is_some(),
            "the model configured for {language} does not know it; configure one that does"
        );
    }
    Ok(())
}
