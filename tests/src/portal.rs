//! The portal as a lecturer's browser or a script meets it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use events::RecordingId;

/// A portal and the token that opens it.
#[derive(Clone)]
pub struct Portal {
    url: String,
    token: String,
    client: reqwest::Client,
}

impl std::fmt::Debug for Portal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Portal").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Portal {
    /// `token` is the file that the portal wrote at its first start.
    ///
    /// # Errors
    /// When it is not there.
    pub fn at(url: String, token: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(token).with_context(|| format!("read {token:?}"))?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { url, token: text.trim().to_owned(), client })
    }

    /// The link that a person opens.
    pub fn entrance(&self) -> String {
        format!("{}/?token={}", self.url, self.token)
    }

    /// The film, as the download link serves it.
    ///
    /// # Errors
    /// When the portal refuses.
    pub async fn film(&self, recording: RecordingId) -> anyhow::Result<Vec<u8>> {
        let url = format!("{}/recordings/{recording}/video.mp4", self.url);
        let answer = self.client.get(&url).bearer_auth(&self.token).send().await?;
        ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
        Ok(answer.bytes().await?.to_vec())
    }
}
