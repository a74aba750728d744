//! `[transcriber]`: a model per language, each named by its hash.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chassis::Sections;
use serde::Deserialize;
use transcript::{Model, ModelError, Settings, TEST_MODEL_SHA256};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// By BCP 47 language, such as `nb`; `default` serves every language that has no model of its own.
    pub models: BTreeMap<String, ModelFile>,
    /// Threads for one model run.
    pub threads: u16,
    /// Lets the test model of `samples/speech-model` be used. It knows 112 words and is for demos and tests alone.
    pub test_model: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// A ggml file, relative to the configuration.
    pub path: PathBuf,
    /// 64 hex digits. A model whose bytes differ is not used.
    pub sha256: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { models: BTreeMap::new(), threads: Settings::default().threads, test_model: false }
    }
}

/// Why there is no model for a language. Each message ends in what to do.
#[derive(Debug, thiserror::Error)]
pub enum NoModel {
    #[error("no speech model is configured for {0}; add [transcriber.models.{0}] with path and sha256")]
    Unconfigured(String),
    #[error(
        "the test model understands 112 words and is no speech recogniser; configure a real model, or set \
         [transcriber].test_model = true for a demo"
    )]
    TestModel,
    #[error(transparent)]
    Unusable(#[from] ModelError),
}

impl NoModel {
    /// A short word for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unconfigured(_) => "no-model",
            Self::TestModel => "test-model",
            Self::Unusable(ModelError::Missing { .. }) => "model-missing",
            Self::Unusable(ModelError::Cut { .. }) => "model-truncated",
            Self::Unusable(ModelError::Altered { .. } | ModelError::Hash { .. }) => "model-hash",
            Self::Unusable(_) => "model-unusable",
        }
    }
}

impl Config {
    /// # Errors
    /// When `[transcriber]` is not what it should be.
    pub fn read(sections: &Sections) -> Result<Self, chassis::ConfigError> {
        sections.section("transcriber")
    }

    /// The model for `language`: its own, that of its primary subtag, or the default.
    pub(crate) fn model_for(&self, language: &str) -> Option<&ModelFile> {
        let primary = language.split('-').next().unwrap_or(language);
        [language, primary, "default"].iter().find_map(|name| self.models.get(*name))
    }

    /// Loads the model for `language`. Blocks; a large one takes seconds.
    ///
    /// # Errors
    /// See [`NoModel`].
    pub fn load(&self, language: &str) -> Result<Model, NoModel> {
        let file = self.model_for(language).ok_or_else(|| NoModel::Unconfigured(language.to_owned()))?;
        if !self.test_model && file.sha256.eq_ignore_ascii_case(TEST_MODEL_SHA256) {
            return Err(NoModel::TestModel);
        }
        let model = Model::load(&file.path, &file.sha256)?;
        if model.is_test_model() {
            tracing::warn!("TEST MODEL in use: it knows 112 words of synthetic speech and must not serve people");
        }
        Ok(model)
    }
}

/// The configured models, of which the last used one stays loaded: a large one takes seconds and gigabytes.
#[derive(Debug)]
pub struct Models {
    config: Config,
    loaded: Mutex<Option<(ModelFile, Arc<Model>)>>,
}

impl Models {
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, loaded: Mutex::new(None) }
    }

    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The model for `language`. Blocks when it is not loaded yet.
    ///
    /// # Errors
    /// See [`NoModel`].
    pub fn get(&self, language: &str) -> Result<Arc<Model>, NoModel> {
        let wanted = self.config.model_for(language);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded.as_ref() {
            Some((file, model)) if Some(file) == wanted => return Ok(Arc::clone(model)),
            // The old one goes before the new one comes.
            _ => *loaded = None,
        }
        let model = Arc::new(self.config.load(language)?);
        *loaded = wanted.cloned().map(|file| (file, Arc::clone(&model)));
        Ok(model)
    }
}
