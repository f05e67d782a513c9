//! The events of an Avro object container file, each as a line of JSON.

use std::{io::Read, sync::Arc};

use codec::{
    Reject, Schema,
    avro::container::{ContainerError, Reader},
};

use super::lines::Line;

/// Events with their numbers, from 1.
pub(crate) struct Events<R> {
    reader: Reader<R>,
    number: u64,
    /// Found while events were taken that need no waiting; returned by the next call that can return it.
    failure: Option<ContainerError>,
}

impl<R: Read> Events<R> {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// It is not an Avro file.
    pub(crate) fn open(source: R) -> Result<Self, ContainerError> {
        Ok(Self { reader: Reader::new(source)?, number: 0, failure: None })
    }

    pub(crate) fn schema(&self) -> Arc<dyn Schema> {
        self.reader.schema()
    }

    /// The next event; nothing at the end.
    ///
    /// # Errors
    /// The file is damaged or cut off. What was complete before was given.
    pub(crate) fn next_event(&mut self) -> Result<Option<Line<'_>>, ContainerError> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => {
                let event = self.reader.next_event()?;
                self.number += 1;
                Ok(event.map(|event| line(self.number, event)))
            }
        }
    }

    /// As [`Self::next_event`]; nothing before an error, too.
    pub(crate) fn next_held(&mut self) -> Option<Line<'_>> {
        if self.failure.is_some() {
            return None;
        }
        match self.reader.next_event() {
            Ok(event) => {
                self.number += 1;
                event.map(|event| line(self.number, event))
            }
            Err(failure) => {
                self.failure = Some(failure);
                None
            }
        }
    }
}

fn line(number: u64, event: Result<&[u8], Reject>) -> Line<'_> {
    Line { number, bytes: event.map_err(|reject| reject.code.as_str()) }
}
