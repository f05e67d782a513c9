//! The simulated object store: each poll does one operation, and puts fail as planned.
//!
//! The processor's own store runs on top of it, so that fencing, recovery and pruning are the real ones.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

/// The path of the checkpoints.
pub(crate) const PREFIX: &str = "state";

/// The fate of the next operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The request does not arrive.
    Before,
    /// The request arrives, its response does not.
    After,
}

/// The state that the simulation sets before an operation, and reads after it.
#[derive(Debug, Default)]
pub(crate) struct Dial {
    pub(crate) fault: Fault,
    /// The checkpoint that the current writer writes.
    pub(crate) payload: Option<Bytes>,
    /// The newest checkpoint that was created.
    pub(crate) newest: u64,
    /// The same, if it was not read yet.
    pub(crate) created: Option<Bytes>,
}

/// Clones share the store.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    inner: Arc<InMemory>,
    dial: Arc<Mutex<Dial>>,
}

impl Gated {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::new(InMemory::new()), dial: Arc::default() }
    }

    pub(crate) fn dial(&self) -> MutexGuard<'_, Dial> {
        self.dial.lock().expect("nothing panics with it")
    }

    fn fault(&self, at: Fault) -> Result<()> {
        if self.dial().fault != at {
            return Ok(());
        }
        self.dial().fault = Fault::None;
        Err(Error::Generic { store: "Gated", source: io::Error::from(io::ErrorKind::TimedOut).into() })
    }

    fn listing(
        &self,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        stream::once(async move {
            this.fault(Fault::Before)?;
            Ok::<_, Error>(listed)
        })
        .try_flatten()
        .boxed()
    }

    /// Remembers a checkpoint that was created, unless a newer one exists.
    fn note(&self, location: &Path) {
        let mut dial = self.dial();
        let number = location.filename().and_then(|name| name.parse::<u64>().ok());
        if let Some(number) = number.filter(|number| *number > dial.newest) {
            dial.newest = number;
            dial.created = dial.payload.clone();
        }
    }
}

#[async_trait]
impl ObjectStore for Gated {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        Gate(false).await;
        self.fault(Fault::Before)?;
        let result = self.inner.put_opts(location, payload, options).await;
        if result.is_ok() {
            self.note(location);
        }
        self.fault(Fault::After)?;
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let gated = locations.then(|location| async move {
            Gate(false).await;
            location
        });
        self.inner.delete_stream(gated.boxed())
    }

    // The listing has the objects that exist when the gate opens.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.gated_listing(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.gated_listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl Gated {
    fn gated_listing(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix, offset) = (self.clone(), prefix.cloned(), offset.cloned());
        stream::once(async move {
            Gate(false).await;
            let listed = match &offset {
                Some(offset) => this.inner.list_with_offset(prefix.as_ref(), offset),
                None => this.inner.list(prefix.as_ref()),
            };
            Ok::<_, Error>(this.listing(listed))
        })
        .try_flatten()
        .boxed()
    }
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gated")
    }
}

/// Pending once.
struct Gate(bool);

impl Future for Gate {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}
