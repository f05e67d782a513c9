//! One key: makes pseudonyms, and never reveals its secret.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use event::EventTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Length of a pseudonym in characters.
pub const PSEUDONYM_LENGTH: usize = 22;

/// Number of bytes of the HMAC in a pseudonym.
const KEPT: usize = 16;

/// A secret with its ID, prepared for hashing.
#[derive(Clone)]
pub struct Key {
    id: Arc<str>,
    from: Option<EventTime>,
    created: Option<EventTime>,
    /// Both halves of the key schedule are computed; each pseudonym starts from a copy.
    mac: Hmac<Sha256>,
}

impl Key {
    pub(super) fn new(
        id: Arc<str>,
        secret: &[u8; 32],
        from: Option<EventTime>,
        created: Option<EventTime>,
    ) -> Self {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        Self { id, from, created, mac }
    }

    /// The ID by which messages name the key; reveals nothing about the secret.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// When the key becomes valid; `None` for the first one, which is valid for all earlier times.
    pub fn from(&self) -> Option<EventTime> {
        self.from
    }

    /// When the key was created, if the file has it.
    pub fn created(&self) -> Option<EventTime> {
        self.created
    }

    /// The pseudonym of a text: the first 128 bits of its HMAC-SHA256 in URL-safe base64 without padding.
    pub fn pseudonym(&self, text: impl AsRef<[u8]>) -> [u8; PSEUDONYM_LENGTH] {
        let mut mac = self.mac.clone();
        mac.update(text.as_ref());
        let full = mac.finalize().into_bytes();
        let mut pseudonym = [0; PSEUDONYM_LENGTH];
        URL_SAFE_NO_PAD.encode_slice(&full[..KEPT], &mut pseudonym).expect("22 characters hold 16 bytes");
        pseudonym
    }
}

/// The ID only.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors from Python: `base64.urlsafe_b64encode(hmac.new(key, text, "sha256").digest()[:16])`.
    fn check(secret: [u8; 32], text: &str, expect: &str) {
        let key = Key::new("k".into(), &secret, None, None);
        assert_eq!(std::str::from_utf8(&key.pseudonym(text)), Ok(expect), "{text}");
    }

    #[test]
    fn pseudonyms_match_another_implementation() {
        check([0x0b; 32], "Hi There", "GYpgfrRL-8aZA6Dxzyu9xQ");
        check([0; 32], "", "thNnmggU2ex3L5XXeMNfxQ");
        check([0xaa; 32], "123", "5AVuSDN1bu1Hk-z1BW2adQ");
        check([0xaa; 32], "jürgen@example.com", "a9egQoeh6JOSWFScwR6kqg");
    }

    #[test]
    fn the_secret_is_wiped() {
        // An HMAC contains hash states that absorbed the padded secret, so the states are checked, not the secret
        // itself.
        fn check<T: zeroize::ZeroizeOnDrop>() {}
        check::<Sha256>();
    }

    /// Test cases 1, 2, 3 and 6 of RFC 4231.
    #[test]
    fn the_hash_matches_rfc_4231() {
        let cases: [(&[u8], &[u8], &str); 4] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, text, expected) in cases {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
            mac.update(text);
            let digest: String =
                mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, expected);
        }
    }
}
