//! What looks like a key or a credential. Nobody configures this system through an event: a message that tries is
//! either an attack or a leak, and is refused whole.

/// Parts of names, written without `_`, `-` and capitals.
const NAMES: [&str; 14] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "accesskey",
    "apikey",
    "privatekey",
    "signingkey",
    "credential",
    "authorization",
    "token",
    "recipient",
    "agekey",
];

/// A name that gives itself away: `access_key`, `apiSecret`, `pin`.
pub(crate) fn in_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    plain == "pin" || plain.ends_with("roompin") || NAMES.iter().any(|part| plain.contains(part))
}

/// A value that is a key by its form, whatever it is called.
pub(crate) fn in_value(value: &str) -> bool {
    let upper = value.to_ascii_uppercase();
    upper.contains("AGE-SECRET-KEY-") || upper.contains("-----BEGIN ") || age_recipient(&upper) || aws_key_id(value)
}

/// `age1` and 58 characters of Bech32 (C2SP age, "X25519 recipient stanza"); later kinds are longer.
fn age_recipient(upper: &str) -> bool {
    upper
        .match_indices("AGE1")
        .any(|(at, mark)| upper[at + mark.len()..].bytes().take_while(u8::is_ascii_alphanumeric).count() >= 58)
}

/// `AKIA` (lasting) or `ASIA` (temporary) and 16 capitals and digits.
fn aws_key_id(value: &str) -> bool {
    ["AKIA", "ASIA"].iter().any(|mark| {
        value.match_indices(mark).any(|(at, _)| {
            let tail = value[at + mark.len()..].bytes();
            tail.take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count() >= 16
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_in_every_spelling() {
        for name in
            ["access_key", "ACCESS-KEY", "s3SecretKey", "pin", "roomPin", "pass_code", "ageRecipients", "joinToken"]
        {
            assert!(in_name(name), "{name}");
        }
        for name in ["partitionkey", "participant", "spinning", "opinion", "sessionid", "traceparent"] {
            assert!(!in_name(name), "{name}");
        }
    }

    #[test]
    fn keys_are_known_by_their_form() {
        let recipient = format!("age1{}", "q".repeat(58));
        for value in [
            "x AGE-SECRET-KEY-1QQ",
            "age-secret-key-1qq",
            "-----BEGIN OPENSSH PRIVATE KEY",
            "AKIAABCDEFGHIJKLMNOP",
            &recipient,
        ] {
            assert!(in_value(value), "{value}");
        }
        for value in ["age1", "age1-of-many", "asia", "AKIA-1", "a lecture"] {
            assert!(!in_value(value), "{value}");
        }
    }
}
