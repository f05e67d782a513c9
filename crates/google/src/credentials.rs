//! Credentials for Google Cloud, and none for an emulator.

use http::HeaderMap;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Credentials for Google Cloud, or none for an emulator. Cheap to clone; clones share the cached token.
#[derive(Clone, Debug)]
pub struct Credentials(Kind);

#[derive(Clone, Debug)]
enum Kind {
    None,
    #[cfg(feature = "cloud")]
    Google(google_cloud_auth::credentials::Credentials),
}

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The source of tokens is unavailable. A retry can help.
    #[error("no Google Cloud token available")]
    Temporary(#[source] Source),
    /// The credentials are missing, invalid or expired.
    #[error("no usable Google Cloud credentials")]
    Refused(#[source] Source),
    /// This binary was built without the feature `cloud`.
    #[error("this build does not include Google Cloud; build with the default feature `cloud`")]
    NotBuilt,
}

impl TokenError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }
}

impl Credentials {
    /// No credentials, for an emulator.
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// Application default credentials for an OAuth scope. Does not request a token yet.
    ///
    /// # Errors
    /// [`TokenError::Refused`] if there are none, or their file is invalid; [`TokenError::NotBuilt`] without the
    /// feature `cloud`.
    #[cfg(feature = "cloud")]
    pub fn application_default(scope: &str) -> Result<Self, TokenError> {
        let builder = google_cloud_auth::credentials::Builder::default().with_scopes([scope]);
        let credentials = builder.build().map_err(|error| TokenError::Refused(error.into()))?;
        Ok(Self(Kind::Google(credentials)))
    }

    /// Application default credentials for an OAuth scope. Does not request a token yet.
    ///
    /// # Errors
    /// [`TokenError::NotBuilt`].
    #[cfg(not(feature = "cloud"))]
    pub fn application_default(_scope: &str) -> Result<Self, TokenError> {
        Err(TokenError::NotBuilt)
    }

    /// The credentials of a service account, from the JSON of its key. Does not request a token yet.
    ///
    /// # Errors
    /// [`TokenError::Refused`] if the text is not such a key; [`TokenError::NotBuilt`] without the feature `cloud`.
    #[cfg(feature = "cloud")]
    pub fn service_account(key: &str, scope: &str) -> Result<Self, TokenError> {
        use google_cloud_auth::credentials::service_account::{AccessSpecifier, Builder};
        // The error of the parser may quote the key.
        let key = serde_json::from_str(key).map_err(|_| TokenError::Refused("the key is not JSON".into()))?;
        let builder = Builder::new(key).with_access_specifier(AccessSpecifier::from_scopes([scope]));
        let credentials = builder.build().map_err(|error| TokenError::Refused(error.into()))?;
        Ok(Self(Kind::Google(credentials)))
    }

    /// The credentials of a service account, from the JSON of its key. Does not request a token yet.
    ///
    /// # Errors
    /// [`TokenError::NotBuilt`].
    #[cfg(not(feature = "cloud"))]
    pub fn service_account(_key: &str, _scope: &str) -> Result<Self, TokenError> {
        Err(TokenError::NotBuilt)
    }

    /// The authentication headers of a call. Fetches a token if there is none or it expires soon.
    ///
    /// # Errors
    /// If there is no token.
    pub async fn headers(&self) -> Result<HeaderMap, TokenError> {
        match &self.0 {
            Kind::None => Ok(HeaderMap::new()),
            #[cfg(feature = "cloud")]
            Kind::Google(credentials) => {
                use google_cloud_auth::credentials::CacheableResource;
                match credentials.headers(http::Extensions::new()).await {
                    Ok(CacheableResource::New { data, .. }) => Ok(data),
                    // Returned only to callers that pass the entity tag of their copy.
                    Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
                    Err(error) if error.is_transient() => Err(TokenError::Temporary(error.into())),
                    Err(error) => Err(TokenError::Refused(error.into())),
                }
            }
        }
    }
}
