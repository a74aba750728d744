//! SSHSIG over a manifest's bytes, and OpenSSH's list of whom to believe.

use std::path::{Path, PathBuf};

use ssh_key::private::Ed25519Keypair;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use zeroize::Zeroizing;

/// What a signature is for: one made for a login or a git tag is none here.
pub const NAMESPACE: &str = "rec-manifest-v1";

/// Keys and signatures cannot be read, or do not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not an OpenSSH ed25519 key without passphrase; make one with `lectern keys new`")]
    NotAKey { path: PathBuf },
    #[error(
        "line {line} of {path} is not understood: {why}; write it as `{{who}} namespaces=\"rec-manifest-v1\" \
         ssh-ed25519 AAAA…`"
    )]
    NotASigner { path: PathBuf, line: usize, why: &'static str },
    #[error("{path} names no signer; put the line from `lectern keys new` there")]
    NoSigners { path: PathBuf },
    #[error("this is not an SSH signature")]
    NotASignature,
    #[error("the manifest is signed by a key that the signers file does not name for {NAMESPACE}")]
    UnknownSigner,
    #[error("the signature does not fit the manifest: one of the two was altered")]
    BadSignature,
}

/// The finalizer's secret. Does not print; wiped on drop.
pub struct SigningKey(PrivateKey);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads an OpenSSH private key.
    ///
    /// # Errors
    /// [`SignError::NotAKey`] for other kinds, and for one behind a passphrase: a service has nobody to ask.
    pub fn load(path: &Path) -> Result<Self, SignError> {
        let read = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = read.map_err(|source| SignError::Read { path: path.into(), source })?;
        match PrivateKey::from_openssh(text.as_bytes()) {
            Ok(key) if key.algorithm() == Algorithm::Ed25519 && !key.is_encrypted() => Ok(Self(key)),
            _ => Err(SignError::NotAKey { path: path.into() }),
        }
    }

    /// A new key: the private half as an OpenSSH file, and the public line.
    #[must_use]
    pub fn generate() -> (Zeroizing<String>, String) {
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        let secret = key.to_openssh(LineEnding::LF);
        let public = key.public_key().to_openssh();
        #[expect(clippy::expect_used, reason = "fails for keys too long to encode; an ed25519 key has 64 bytes")]
        let halves = (secret.expect("encodable"), public.expect("encodable"));
        halves
    }

    /// Belief in this key alone: what its holder signed.
    #[must_use]
    pub fn signers(&self) -> Signers {
        Signers(vec![self.0.public_key().clone()])
    }

    /// `ssh-ed25519 AAAA…`
    #[must_use]
    pub fn public(&self) -> String {
        self.0.public_key().to_openssh().unwrap_or_default()
    }
}

/// Signs a manifest's bytes: the text of its `.sig`.
#[must_use]
pub fn sign(key: &SigningKey, manifest: &[u8]) -> String {
    let signed = key.0.sign(NAMESPACE, HashAlg::Sha512, manifest).and_then(|sig| sig.to_pem(LineEnding::LF));
    #[expect(clippy::expect_used, reason = "fails for encrypted keys and unknown kinds, which `load` refuses")]
    signed.expect("an ed25519 key in memory signs")
}

/// Whose manifests are believed: OpenSSH's `allowed_signers` (ssh-keygen(1), "ALLOWED SIGNERS").
#[derive(Debug, Clone)]
pub struct Signers(Vec<PublicKey>);

impl Signers {
    /// Reads the file. A line counts if it names no namespaces, or ours.
    ///
    /// # Errors
    /// [`SignError::NotASigner`] for a line that this reader cannot honour in full (such as one with `valid-before`):
    /// half-understood trust is worse than none. [`SignError::NoSigners`] when no line is left.
    pub fn load(path: &Path) -> Result<Self, SignError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| SignError::Read { path: path.into(), source })?;
        let mut signers = Vec::new();
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let odd = |why| SignError::NotASigner { path: path.into(), line: at + 1, why };
            signers.extend(signer(line).map_err(odd)?);
        }
        if signers.is_empty() { Err(SignError::NoSigners { path: path.into() }) } else { Ok(Self(signers)) }
    }
}

/// `principals [options] ssh-ed25519 AAAA… [comment]`
fn signer(line: &str) -> Result<Option<PublicKey>, &'static str> {
    let (_, rest) = line.split_once(char::is_whitespace).ok_or("it has no key")?;
    let mut rest = rest.trim_start();
    let mut ours = true;
    if let Some(quoted) = rest.strip_prefix("namespaces=\"") {
        let (names, after) = quoted.split_once('"').ok_or("a quote is not closed")?;
        ours = names.split(',').any(|name| name.trim() == NAMESPACE);
        rest = after.strip_prefix(char::is_whitespace).ok_or("it has an option that is not supported")?.trim_start();
    }
    if !rest.starts_with("ssh-ed25519 ") {
        return Err("it has an option that is not supported, or no ssh-ed25519 key");
    }
    let key = PublicKey::from_openssh(rest).map_err(|_| "its key cannot be read")?;
    Ok(ours.then_some(key))
}

/// Whether one of the signers signed these bytes.
///
/// # Errors
/// [`SignError::NotASignature`], [`SignError::UnknownSigner`], [`SignError::BadSignature`].
pub fn verify_signature(signers: &Signers, bytes: &[u8], signature: &str) -> Result<(), SignError> {
    let signature = SshSig::from_pem(signature).map_err(|_| SignError::NotASignature)?;
    let mut known = signers.0.iter().filter(|key| key.key_data() == signature.public_key());
    let key = known.next().ok_or(SignError::UnknownSigner)?;
    key.verify(NAMESPACE, bytes, &signature).map_err(|_| SignError::BadSignature)
}

/// Whether a signature fits these bytes, whoever made it: enough to leave them alone, too little to believe them.
pub(super) fn fits(bytes: &[u8], signature: &str) -> bool {
    let Ok(signature) = SshSig::from_pem(signature) else { return false };
    PublicKey::from(signature.public_key().clone()).verify(NAMESPACE, bytes, &signature).is_ok()
}
