//! A speech model as a file with a promised hash. Loads it or says what is wrong and what to do; fetches nothing.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use whisper_rs::{WhisperContext, WhisperContextParameters, WhisperError};

use crate::ggml::{Shape, shape};
use crate::hear::HearError;
use crate::{Ears, Settings};

/// The test fixture `samples/speech-model/ggml-lecture-test.bin`, which understands 112 words of a synthesiser. Never
/// for people.
pub const TEST_MODEL_SHA256: &str = "39be1b3181e8b1bce64db9431d37ccd27b41c3eb097554f64d73b026da8269d4";

/// Why there is no model. Each message ends in what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("there is no speech model at {path}; download it there or correct its path in the configuration")]
    Missing { path: PathBuf },
    #[error("cannot read the speech model {path}; see that it is a file and that this user may read it")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a ggml model, perhaps a saved web page or an LFS pointer; download the ggml file itself")]
    Other { path: PathBuf },
    #[error("the speech model {path} ends too early, after {size} bytes; download it again")]
    Cut { path: PathBuf, size: u64 },
    #[error(
        "the speech model {path} has SHA-256 {found}, not {expected} as configured; download it again, or configure \
         the new hash if you trust this file"
    )]
    Altered { path: PathBuf, expected: String, found: String },
    #[error(
        "the sha256 configured for the speech model {path} is not 64 hex digits; copy it from where the model came"
    )]
    Hash { path: PathBuf },
    #[error("whisper.cpp refuses the speech model {path}; use a model in whisper.cpp's ggml format")]
    Refused { path: PathBuf, source: WhisperError },
}

/// A loaded model. Cheap to share by reference; [`Ears`] do the listening.
pub struct Model {
    pub(crate) context: WhisperContext,
    name: String,
    sha256: String,
}

impl Model {
    /// Loads the model at `path` if its bytes have the hash `sha256` (64 hex digits). Blocks; large models take seconds.
    ///
    /// # Errors
    /// See [`ModelError`]. The hash is judged before whisper.cpp sees a byte.
    pub fn load(path: &Path, sha256: &str) -> Result<Self, ModelError> {
        whisper_rs::install_logging_hooks();
        let expected = sha256.to_ascii_lowercase();
        if expected.len() != 64 || hex::decode(&expected).is_err() {
            return Err(ModelError::Hash { path: path.into() });
        }
        let read = |source| ModelError::Read { path: path.into(), source };
        let file = File::open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => ModelError::Missing { path: path.into() },
            _ => read(source),
        })?;
        let size = file.metadata().map_err(read)?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let found = digest(&mut file).map_err(read)?;
        if found != expected {
            return Err(match shape(&mut file).map_err(read)? {
                Shape::Other => ModelError::Other { path: path.into() },
                Shape::Cut => ModelError::Cut { path: path.into(), size },
                Shape::Whole | Shape::Unknown => ModelError::Altered { path: path.into(), expected, found },
            });
        }
        let context = WhisperContext::new_with_params(path, WhisperContextParameters::default())
            .map_err(|source| ModelError::Refused { path: path.into(), source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tracing::info!(model = name, sha256 = found, multilingual = context.is_multilingual(), "speech model loaded");
        Ok(Self { context, name, sha256: found })
    }

    /// File name and SHA-256, as transcripts and events name it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} sha256:{}", self.name, self.sha256)
    }

    /// Whether this is the test fixture, which must never serve people.
    #[must_use]
    pub fn is_test_model(&self) -> bool {
        self.sha256 == TEST_MODEL_SHA256
    }

    /// Whisper's word for the BCP 47 tag `language`, if this model can hear it.
    #[must_use]
    pub fn hears(&self, language: &str) -> Option<&'static str> {
        let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        // Whisper was trained on Bokmål under the name of the whole language.
        let wanted = if primary == "nb" { "no" } else { &primary };
        let known = (!wanted.is_empty() && !wanted.contains('\0')).then(|| whisper_rs::get_lang_id(wanted))??;
        let code = whisper_rs::get_lang_str(known).filter(|code| *code == wanted)?;
        (self.context.is_multilingual() || code == "en").then_some(code)
    }

    /// Ears for one recording in `language` (BCP 47).
    ///
    /// # Errors
    /// When the model does not know the language, or there is no memory for its state.
    pub fn ears(&self, language: &str, settings: &Settings) -> Result<Ears, HearError> {
        Ears::new(self, language, settings)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

fn digest(file: &mut impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&block[..n]),
        }
    }
}
