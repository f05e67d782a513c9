//! An object store with injected faults. It yields before each operation, so that a test can choose which task runs
//! next.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};

/// The fault of one put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The put succeeds.
    None,
    /// The request never arrives.
    Before,
    /// The request arrives, but its response is lost.
    After,
    /// Half of the object is written, as by a store without atomic writes.
    Torn,
    /// The disk is full.
    Full,
}

/// The store with faults.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) inner: Arc<InMemory>,
    /// The faults of the next puts; none when it is empty.
    puts: Mutex<VecDeque<Fault>>,
    /// Whether each of the next listings fails.
    lists: Mutex<VecDeque<bool>>,
    yields: bool,
}

impl Faulty {
    pub(super) fn new(inner: Arc<InMemory>) -> Self {
        Self { inner, puts: Mutex::default(), lists: Mutex::default(), yields: false }
    }

    pub(super) fn yielding(inner: Arc<InMemory>, puts: impl IntoIterator<Item = Fault>) -> Self {
        Self { puts: Mutex::new(puts.into_iter().collect()), yields: true, ..Self::new(inner) }
    }

    pub(super) fn fail_puts(&self, faults: &[Fault]) {
        self.puts.lock().expect("no test panics with it").extend(faults);
    }

    pub(super) fn fail_lists(&self, fails: &[bool]) {
        self.lists.lock().expect("no test panics with it").extend(fails);
    }

    async fn pause(&self) {
        if self.yields {
            Yield(false).await;
        }
    }

    fn listing(
        &self,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let fails = self.lists.lock().expect("no test panics with it").pop_front().unwrap_or(false);
        let yields = self.yields;
        stream::once(async move {
            if yields {
                Yield(false).await;
            }
            if fails { Err(trouble(io::ErrorKind::TimedOut)) } else { Ok(listed) }
        })
        .try_flatten()
        .boxed()
    }
}

fn trouble(kind: io::ErrorKind) -> Error {
    Error::Generic { store: "Faulty", source: io::Error::from(kind).into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.pause().await;
        let fault = self.puts.lock().expect("no test panics with it").pop_front().unwrap_or(Fault::None);
        let error = match fault {
            Fault::None => return self.inner.put_opts(location, payload, options).await,
            Fault::Before => trouble(io::ErrorKind::ConnectionReset),
            Fault::Full => trouble(io::ErrorKind::StorageFull),
            Fault::After => {
                self.inner.put_opts(location, payload, options).await?;
                trouble(io::ErrorKind::TimedOut)
            }
            Fault::Torn => {
                let whole = Bytes::from(payload);
                self.inner.put_opts(location, whole.slice(..whole.len() / 2).into(), options).await?;
                trouble(io::ErrorKind::BrokenPipe)
            }
        };
        Err(error)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.pause().await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let yields = self.yields;
        let paused = locations.then(move |location| async move {
            if yields {
                Yield(false).await;
            }
            location
        });
        self.inner.delete_stream(paused.boxed())
    }

    // The listing is taken when the stream is created, as in `InMemory`.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

/// Pending once. It replaces tokio's, because the tests that use it poll by hand.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
