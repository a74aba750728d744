//! Who may open keys. Refuses what would lose recordings or give a secret away.

use age::x25519::Recipient;

use super::SealError;

/// At least two distinct public keys, so that losing one loses nothing.
#[derive(Clone)]
pub struct Recipients(Vec<Recipient>);

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.public()).finish()
    }
}

impl Recipients {
    /// Reads `age1…` keys as configured.
    ///
    /// # Errors
    /// [`SealError::Recipients`], which ends in what to do and never repeats what was given: it may be a secret.
    pub fn parse(keys: &[String]) -> Result<Self, SealError> {
        let mut recipients = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let key = key.trim();
            let refuse = |why: &str| Err(SealError::Recipients(format!("seal.recipients[{at}] {why}")));
            // Before parsing, and whatever its case: bech32 allows both.
            if key.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
                return refuse(
                    "is a secret key; replace it by its public half (`age-keygen -y FILE`, age1…), and make a new \
                     key, since this one has been written into a configuration",
                );
            }
            let Ok(recipient) = key.parse::<Recipient>() else {
                return refuse("is not an age public key; it must be an X25519 recipient, age1 and 58 characters");
            };
            if !recipients.iter().any(|known: &Recipient| known.to_string() == recipient.to_string()) {
                recipients.push(recipient);
            }
        }
        if recipients.len() < 2 {
            return Err(SealError::Recipients(format!(
                "seal.recipients holds {} distinct key(s), and needs two: one for the pipeline and one that is kept \
                 offline, so that losing either loses no recording; make them with `lectern keys new`",
                recipients.len()
            )));
        }
        Ok(Self(recipients))
    }

    /// The public keys, as manifests name them.
    #[must_use]
    pub fn public(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|recipient| recipient as &dyn age::Recipient)
    }
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;
    use age::x25519::Identity;

    use super::*;

    fn refused(keys: &[String]) -> String {
        let why = Recipients::parse(keys).unwrap_err();
        format!("{why} {why:?}")
    }

    #[test]
    fn two_distinct_public_keys_are_taken() {
        let keys: Vec<String> = (0..2).map(|_| Identity::generate().to_public().to_string()).collect();
        assert_eq!(Recipients::parse(&keys).unwrap().public(), keys);
    }

    #[test]
    fn one_key_given_twice_is_refused() {
        let key = Identity::generate().to_public().to_string();
        let why = refused(&[key.clone(), format!(" {key} ")]);
        assert!(why.contains("needs two") && why.contains("lectern keys new"), "{why}");
    }

    #[test]
    fn a_pasted_secret_key_is_refused_and_never_echoed() {
        let secret = Identity::generate().to_string().expose_secret().to_owned();
        let public = Identity::generate().to_public().to_string();
        for pasted in [secret.clone(), secret.to_lowercase(), format!("# key\n{secret}")] {
            let why = refused(&[public.clone(), pasted]);
            assert!(why.contains("secret key") && why.contains("age-keygen -y"), "{why}");
            assert!(!why.to_uppercase().contains(&secret[15..]), "{why}");
        }
    }

    #[test]
    fn anything_else_is_refused_and_never_echoed() {
        for odd in ["", "ssh-ed25519 AAAAC3Nz", "age1notakey", "correct horse battery staple"] {
            let why = refused(&[odd.into(), odd.into()]);
            assert!(why.contains("not an age public key"), "{why}");
            assert!(odd.is_empty() || !why.contains(odd), "{why}");
        }
    }
}
