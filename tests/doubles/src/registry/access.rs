//! Who may read, and an issuer of tokens.

use base64::{Engine, engine::general_purpose::STANDARD};

/// The credentials that requests need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// None.
    #[default]
    Anyone,
    /// HTTP's basic authentication.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Bearer(String),
    /// A token of the issuer at `/token`, which has a life of 3600 seconds unless it is withdrawn.
    OAuth {
        /// The client.
        id: String,
        /// Its secret.
        secret: String,
    },
    /// All credentials are refused with status 403.
    Refused,
}

/// The current access, and the tokens that were issued.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) access: Access,
    issued: u32,
    /// Tokens up to this one were withdrawn.
    withdrawn: u32,
}

impl Gate {
    /// The status that refuses a request with this header.
    pub(super) fn refusal(&self, header: Option<&str>) -> Option<u16> {
        let is_accepted = match &self.access {
            Access::Anyone => true,
            Access::Refused => return Some(403),
            Access::Basic { user, password } => header == Some(&basic(user, password)),
            Access::Bearer(token) => header.and_then(|header| header.strip_prefix("Bearer ")) == Some(token),
            Access::OAuth { .. } => {
                let token = header.and_then(|header| header.strip_prefix("Bearer token-"));
                let number = token.and_then(|token| token.parse::<u32>().ok());
                number.is_some_and(|number| number > self.withdrawn && number <= self.issued)
            }
        };
        (!is_accepted).then_some(401)
    }

    /// A new token for a client that sends this header and this form.
    pub(super) fn issue(&mut self, header: Option<&str>, form: &str) -> Option<String> {
        let Access::OAuth { id, secret } = &self.access else { return None };
        let is_client = header == Some(&basic(id, secret));
        if !is_client || !form.split('&').any(|field| field == "grant_type=client_credentials") {
            return None;
        }
        self.issued += 1;
        Some(format!("token-{}", self.issued))
    }

    pub(super) fn withdraw(&mut self) {
        self.withdrawn = self.issued;
    }

    pub(super) fn issued(&self) -> u32 {
        self.issued
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
