//! State in Google Cloud Storage.

use std::{sync::Arc, time::Duration};

use object_store::{
    ClientConfigKey, RetryConfig,
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    path::Path as ObjectPath,
};

use super::{Store, StoreError};

/// Options of the client. The timeout of a whole request is long enough for a large base.
const CLIENT: [(ClientConfigKey, &str); 4] = [
    (ClientConfigKey::ConnectTimeout, "5s"),
    (ClientConfigKey::ReadTimeout, "30s"),
    (ClientConfigKey::Timeout, "5m"),
    // Emulators: the credentials file may name an `http` address.
    (ClientConfigKey::AllowHttp, "true"),
];

/// Opens a bucket with the credentials of the environment.
pub(super) fn open(bucket: &str, path: &str) -> Result<Store, StoreError> {
    over(GoogleCloudStorageBuilder::from_env(), bucket, path)
}

/// Opens a bucket with the credentials of `builder`.
pub(super) fn over(
    builder: GoogleCloudStorageBuilder,
    bucket: &str,
    path: &str,
) -> Result<Store, StoreError> {
    let place = format!("gs://{bucket}/{path}");
    let prefix = ObjectPath::parse(path).map_err(|source| StoreError::unusable(&place, source))?;
    let objects = CLIENT
        .into_iter()
        .fold(builder, |builder, (key, value)| builder.with_config(GoogleConfigKey::Client(key), value))
        .with_bucket_name(bucket)
        // Short, because the caller retries for longer itself, and logs it.
        .with_retry(RetryConfig {
            max_retries: 3,
            retry_timeout: Duration::from_secs(10),
            ..Default::default()
        })
        .build()
        .map_err(|source| StoreError::unusable(&place, source))?;
    Ok(Store::new(Arc::new(objects), prefix, &place, None))
}
