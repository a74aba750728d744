//! Who may look. One random token, shown once in a link, then kept in a cookie.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::Cookie;
use rand::RngCore;
use subtle::ConstantTimeEq;

use crate::trouble::Trouble;

const COOKIE: &str = "lectern-portal";

/// A working week; the link in the token file opens the door again.
const STAYS: u32 = 5 * 24 * 3600;

/// What opens the portal. Never printed by `Debug`.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// # Errors
    /// When `word` could be guessed, or could not stand in a link.
    pub fn new(word: &str) -> anyhow::Result<Self> {
        if word.len() < 32 || !word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            bail!("is not 32 or more letters, digits, '-' and '_'; delete the file, and a new one is made");
        }
        Ok(Self(word.into()))
    }

    /// The token in `file`; None when there is no such file yet.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let mut found = match OpenOptions::new().read(true).open(file) {
            Err(absent) if absent.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| cannot_use(file))?,
        };
        if found.metadata().with_context(|| cannot_use(file))?.permissions().mode() & 0o077 != 0 {
            bail!("{} can be read by others; `chmod 600` it, or delete it for a new token", file.display());
        }
        let mut word = String::new();
        found.read_to_string(&mut word).with_context(|| cannot_use(file))?;
        Self::new(word.trim()).with_context(|| format!("the token in {}", file.display())).map(Some)
    }

    /// The token in `file`. A file that is not there is made, and the link that opens the portal printed on standard
    /// output: that once, and never in a log.
    pub(crate) fn find(file: &Path, listen: SocketAddr) -> anyhow::Result<Self> {
        if let Some(token) = Self::read(file)? {
            return Ok(token);
        }
        let doing = || cannot_use(file);
        let token = Self::random();
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(doing)?;
        }
        let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(doing)?;
        writeln!(made, "{}", token.0).and_then(|()| made.sync_all()).with_context(doing)?;
        // A closed standard output is no reason not to serve: the file has the token too.
        let _ = writeln!(std::io::stdout(), "Open the portal: http://{listen}/?token={}", token.0);
        Ok(token)
    }

    fn random() -> Self {
        let mut bits = [0; 20];
        rand::rng().fill_bytes(&mut bits);
        Self(hex::encode(bits).into())
    }

    /// In constant time, but for the length.
    fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

fn cannot_use(file: &Path) -> String {
    format!("cannot use the token file {}; mend [portal].token_file, or who may read it", file.display())
}

/// Lets requests through that show the token: as a cookie, as a bearer token (for programs), or in the link's query,
/// which is then moved into the cookie so that it stays in no history and no referrer.
pub(crate) async fn guard(State(token): State<Token>, request: Request, next: Next) -> Response {
    if let Some((shown, rest)) = in_query(request.uri()) {
        return if token.is(&shown) { let_in(&token, &rest) } else { Trouble::Locked.at(request.uri().path()) };
    }
    let headers = request.headers();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let cookies = CookieJar::from_headers(headers);
    if [bearer, cookies.get(COOKIE).map(Cookie::value)].into_iter().flatten().any(|shown| token.is(shown)) {
        return next.run(request).await;
    }
    Trouble::Locked.at(request.uri().path())
}

/// The token shown in the query, and where to go without it.
fn in_query(uri: &Uri) -> Option<(String, String)> {
    let mut shown = None;
    let kept: Vec<&str> = uri
        .query()?
        .split('&')
        .filter(|pair| match pair.strip_prefix("token=") {
            Some(word) => {
                shown = Some(word.to_owned());
                false
            }
            None => true,
        })
        .collect();
    // `//host/` would lead to another site.
    let path = uri.path().trim_start_matches('/');
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Some((shown?, format!("/{path}{query}")))
}

fn let_in(token: &Token, to: &str) -> Response {
    // Not `Secure`: on loopback there is no TLS, and a proxy that ends TLS can add the word. Not `Strict`: a link to a
    // recording in a course page would find the door shut, and so would the link with the token in a mail. Whatever
    // is asked for from elsewhere is only shown, never changed, and to nobody but its reader.
    let cookie = format!("{COOKIE}={}; Path=/; Max-Age={STAYS}; HttpOnly; SameSite=Lax", token.0);
    match (HeaderValue::from_str(&cookie), HeaderValue::from_str(to)) {
        (Ok(cookie), Ok(to)) => {
            (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, to)]).into_response()
        }
        _ => Trouble::NoSuchPage.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_leads_on_without_its_token_and_to_no_other_site() {
        let go = |uri: &str| in_query(&uri.parse().unwrap());
        assert_eq!(go("/?token=abc"), Some(("abc".into(), "/".into())));
        assert_eq!(go("/recordings/x?a=1&token=abc&b=2"), Some(("abc".into(), "/recordings/x?a=1&b=2".into())));
        assert_eq!(go("//evil.example/?token=abc").unwrap().1, "/evil.example/");
        assert_eq!(go("/?tokens=abc"), None);
        assert_eq!(go("/"), None);
    }
}
