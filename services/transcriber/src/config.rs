//! `[transcriber]`: a model per language, each named by its hash.

use std::collections::BTreeMap;
use std::path::PathBuf;

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

#[derive(Debug, Clone, Deserialize)]
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
        let mut config: Self = sections.section("transcriber")?;
        for model in config.models.values_mut() {
            model.path = sections.beside(&model.path);
        }
        Ok(config)
    }

    /// Loads the model for `language`: its own, that of its primary subtag, or the default. Blocks.
    ///
    /// # Errors
    /// See [`NoModel`].
    pub fn load(&self, language: &str) -> Result<Model, NoModel> {
        let primary = language.split('-').next().unwrap_or(language);
        let file = [language, primary, "default"].iter().find_map(|name| self.models.get(*name));
        let file = file.ok_or_else(|| NoModel::Unconfigured(language.to_owned()))?;
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
