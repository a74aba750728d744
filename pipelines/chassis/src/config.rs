//! One TOML file, a section per concern; each service takes the sections it needs. Nothing here reads the
//! environment, and no value is ever repeated in an error, for it might be a secret.
//!
//! # Design
//! Relative paths count from the file's folder, whoever reads them and wherever they were started. A section's type
//! cannot do that, for it does not know the file, and a service that forgets to would work until it is started from
//! elsewhere. So paths are made whole here, in the text's own tree, and are known by their keys.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

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

/// Keys that hold a path, beside those that end in `_file`.
const PATHS: [&str; 4] = ["folder", "media_program", "path", "work"];

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}; give --config FILE or write one with `lectern init`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the folder of {path} has a name that is not UTF-8, so no path can count from it; move the configuration")]
    Folder { path: PathBuf },
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
    /// From the root.
    folder: PathBuf,
    table: Table,
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
        let mut table: Table = text.parse().map_err(|e: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            message: e.message().to_owned(),
        })?;
        if let Some(name) = table.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(ConfigError::Unknown { path: path.to_owned(), name: name.clone() });
        }
        let whole = std::path::absolute(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let folder = whole.parent().unwrap_or(Path::new("/"));
        make_whole(&mut table, folder).ok_or_else(|| ConfigError::Folder { path: path.to_owned() })?;
        Ok(Self { path: path.to_owned(), folder: folder.to_owned(), table })
    }

    /// Section `name` as `T`; a section that is absent is read as an empty one. Paths in it are whole.
    ///
    /// # Errors
    /// When a field is unknown, missing or of the wrong type.
    pub fn section<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, ConfigError> {
        debug_assert!(KNOWN.contains(&name), "section {name} is not in KNOWN");
        let value = self.table.get(name).cloned().unwrap_or_else(|| Value::Table(Table::new()));
        value.try_into().map_err(|e: toml::de::Error| ConfigError::Section {
            path: self.path.clone(),
            section: name,
            message: e.message().to_owned(),
        })
    }

    /// Makes a path whole that does not stand in the file: the default of one that may be left out. What is whole
    /// already stays as it is.
    #[must_use]
    pub fn beside(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

/// Every path in `table` counted from `folder`; None when the result is no text.
fn make_whole(table: &mut Table, folder: &Path) -> Option<()> {
    for (key, value) in table.iter_mut() {
        match value {
            Value::String(path) if key.ends_with("_file") || PATHS.contains(&key.as_str()) => {
                *path = folder.join(&*path).to_str()?.to_owned();
            }
            Value::Table(inner) => make_whole(inner, folder)?,
            _ => {}
        }
    }
    Some(())
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
    fn every_path_counts_from_the_files_folder() {
        let text = "[store]\nsecret_key_file = 'keys/s3'\nendpoint = 'keys/s3'\n[recorder]\nwork = 'spool'\n\
                    [transcriber.models.nb]\npath = '../models/nb.bin'\nsha256 = 'path'\n\
                    [portal]\ntoken_file = '/run/token'\n[up.s3]\nfolder = 's3'\n";
        let all = parse(text).unwrap();
        let value = |section: &'static str| all.section::<Table>(section).unwrap();
        assert_eq!(value("store")["secret_key_file"].as_str(), Some("/etc/lectern/keys/s3"));
        assert_eq!(value("store")["endpoint"].as_str(), Some("keys/s3"));
        assert_eq!(value("recorder")["work"].as_str(), Some("/etc/lectern/spool"));
        let model = &value("transcriber")["models"]["nb"];
        assert_eq!(model["path"].as_str(), Some("/etc/lectern/../models/nb.bin"));
        assert_eq!(model["sha256"].as_str(), Some("path"));
        assert_eq!(value("portal")["token_file"].as_str(), Some("/run/token"));
        assert_eq!(value("up")["s3"]["folder"].as_str(), Some("/etc/lectern/s3"));
    }

    #[test]
    fn a_default_stands_beside_the_file_and_what_is_whole_stays() {
        // As `--config conf/lectern.toml` names it: made whole once, and not a second time.
        let all = Sections::parse(Path::new("conf/lectern.toml"), "[recorder]\nwork = 'spool'\n").unwrap();
        let spool = std::env::current_dir().unwrap().join("conf/spool");
        let work: Table = all.section("recorder").unwrap();
        assert_eq!(work["work"].as_str().map(Path::new), Some(spool.as_path()));
        assert_eq!(all.beside(&spool), spool);
        assert_eq!(all.beside(Path::new("spool")), spool);
    }

    #[test]
    fn a_folder_that_no_text_can_name_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/srv/\xff/lectern.toml"));
        let refused = Sections::parse(path, "[recorder]\nwork = 'spool'\n").unwrap_err();
        assert!(matches!(refused, ConfigError::Folder { .. }), "{refused}");
        assert!(Sections::parse(path, "[recorder]\nwork = '/var/spool'\n").is_ok(), "nothing counts from it");
    }
}
