//! One TOML file, a section per concern; each service takes the sections it needs. Nothing here reads the
//! environment, and no value is ever repeated in an error, for it might be a secret.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Every section there is. A name outside this list is a typing mistake and refused.
const KNOWN: [&str; 12] = [
    "tenant",
    "broker",
    "store",
    "seal",
    "meeting",
    "bridge",
    "recorder",
    "finalizer",
    "transcriber",
    "origin",
    "portal",
    "up",
];

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}; give --config FILE or write one with `lectern init`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration {path} is not TOML: {message}")]
    Syntax { path: PathBuf, message: String },
    #[error("unknown section [{name}] in {path}; known are {}", KNOWN.join(", "))]
    Unknown { path: PathBuf, name: String },
    #[error("section [{section}] of {path}: {message}")]
    Section { path: PathBuf, section: &'static str, message: String },
}

/// A configuration file, read but not yet understood.
#[derive(Debug, Clone)]
pub struct Sections {
    path: PathBuf,
    table: toml::Table,
}

impl Sections {
    /// Reads `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is not TOML, or names a section that does not exist.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Like [`Sections::read`], from `text` that stood in `path`.
    ///
    /// # Errors
    /// See [`Sections::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            message: e.message().to_owned(),
        })?;
        if let Some(name) = table.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(ConfigError::Unknown { path: path.to_owned(), name: name.clone() });
        }
        Ok(Self { path: path.to_owned(), table })
    }

    /// Section `name` as `T`; a section that is absent is read as an empty one.
    ///
    /// # Errors
    /// When a field is unknown, missing or of the wrong type.
    pub fn section<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, ConfigError> {
        debug_assert!(KNOWN.contains(&name), "section {name} is not in KNOWN");
        let value = self.table.get(name).cloned().unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
        value.try_into().map_err(|e: toml::de::Error| ConfigError::Section {
            path: self.path.clone(),
            section: name,
            message: e.message().to_owned(),
        })
    }

    /// Makes a relative path of the configuration relative to the configuration's own folder.
    #[must_use]
    pub fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join(path)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Store {
        endpoint: String,
    }

    fn parse(text: &str) -> Result<Sections, ConfigError> {
        Sections::parse(Path::new("/etc/lectern/lectern.toml"), text)
    }

    #[test]
    fn an_absent_section_is_its_default() {
        let store: Store = parse("").unwrap().section("store").unwrap();
        assert_eq!(store, Store::default());
    }

    #[test]
    fn a_misspelt_section_or_field_is_named() {
        let wrong = parse("[stoer]\n").unwrap_err().to_string();
        assert!(wrong.contains("[stoer]"), "{wrong}");
        let wrong = parse("[store]\nendpiont = 'x'\n").unwrap().section::<Store>("store").unwrap_err().to_string();
        assert!(wrong.contains("endpiont"), "{wrong}");
    }

    #[test]
    fn a_wrong_value_is_not_repeated() {
        let wrong = parse("[store]\nendpoint = [\"AGE-SECRET-KEY-1\"]\n").unwrap();
        let wrong = wrong.section::<Store>("store").unwrap_err().to_string();
        assert!(!wrong.contains("SECRET"), "{wrong}");
    }

    #[test]
    fn paths_stand_beside_the_file() {
        assert_eq!(parse("").unwrap().beside(Path::new("keys/a")), Path::new("/etc/lectern/keys/a"));
        assert_eq!(parse("").unwrap().beside(Path::new("/x")), Path::new("/x"));
    }
}
