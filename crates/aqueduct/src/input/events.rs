//! The events of an Avro object container file, each as a line of JSON.

use std::{io::Read, sync::Arc};

use codec::{
    Schema,
    avro::container::{ContainerError, Reader},
};

use super::lines::Block;

/// Reads blocks of events.
pub(super) struct Events<R> {
    reader: Reader<R>,
    /// Found behind complete events; returned instead of the next block.
    failure: Option<ContainerError>,
}

impl<R: Read> Events<R> {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// It is not an Avro file.
    pub(super) fn open(source: R) -> Result<Self, ContainerError> {
        Ok(Self { reader: Reader::new(source)?, failure: None })
    }

    pub(super) fn schema(&self) -> Arc<dyn Schema> {
        self.reader.schema()
    }

    /// Reads events; `false` at the end.
    ///
    /// # Errors
    /// The file is damaged or cut off. What was complete before was given.
    pub(super) fn next_block(&mut self, block: &mut Block) -> Result<bool, ContainerError> {
        block.clear();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut is_empty = true;
        loop {
            match self.reader.next_event() {
                Ok(Some(event)) => {
                    is_empty = false;
                    if !block.add(event.map_err(|reject| reject.code.as_str())) {
                        return Ok(true);
                    }
                }
                Ok(None) => return Ok(!is_empty),
                Err(failure) if is_empty => return Err(failure),
                Err(failure) => {
                    self.failure = Some(failure);
                    return Ok(true);
                }
            }
        }
    }
}
