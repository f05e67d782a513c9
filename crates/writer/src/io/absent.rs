//! BigQuery in a build without the feature `cloud`. The configuration refuses it first.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Backend, BigQueryConfig, WriterError,
    backend::{Mode, Place},
    schema::Tables,
    settings::not_built,
    writer::Step,
};

#[async_trait]
impl Place for BigQueryConfig {
    async fn connect(&self, _: Tables) -> Result<Arc<dyn Backend>, WriterError> {
        Err(not_built())
    }

    async fn prepare(&self, _: Tables, _: Mode) -> Result<Vec<Step>, WriterError> {
        Err(not_built())
    }

    async fn check_owner(&self, _: Tables, _: &str) -> Result<(), WriterError> {
        Err(not_built())
    }
}
