//! Where a record has the ID of its schema: Confluent's prefix and headers, and Hermes's headers.
