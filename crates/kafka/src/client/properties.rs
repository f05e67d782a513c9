//! Whether librdkafka accepts the properties of a configuration. Nothing here connects to a broker.

use rdkafka::{consumer::BaseConsumer, error::KafkaError};

use super::{context::Context, plain_config};
use crate::{KafkaConfig, KafkaText};

impl KafkaConfig {
    /// Checks that librdkafka knows every property and accepts its value.
    ///
    /// # Errors
    /// The name of the first property that it rejects, and the reason.
    pub fn check_properties(&self) -> Result<(), (String, String)> {
        match plain_config(self.consumer()).create_native_config() {
            Err(KafkaError::ClientConfig(_, text, property, _)) => {
                Err((property, format!("{text}; see librdkafka's CONFIGURATION.md")))
            }
            // Anything else shows when a client is created.
            _ => Ok(()),
        }
    }

    /// Checks that librdkafka accepts the properties of the group's consumer together: contradictions show only when a
    /// client is created. It connects to nothing, because no broker is configured.
    ///
    /// # Errors
    /// librdkafka's message.
    pub fn check_combination(&self) -> Result<(), KafkaText> {
        let mut config = plain_config(self.consumer());
        config.remove("bootstrap.servers");
        config
            .create_with_context::<_, BaseConsumer<Context>>(Context::default())
            .map_err(KafkaText::from)?;
        Ok(())
    }
}
