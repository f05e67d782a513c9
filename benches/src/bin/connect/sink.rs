//! The destination of all connectors: the Pub/Sub stand-in in this process, also behind TLS, which Google's sink
//! requires, and a token endpoint for its made-up account.

use std::{
    collections::HashSet,
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use prost::Message;
use serde_json::json;
use standin::{
    pubsub::{Options, PubSub},
    tls::Identity,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Created once for all runs, because it takes a second.
pub(crate) struct Secrets {
    folder: TempDir,
}

/// The password of the trust store, which contains no secret.
pub(crate) const PASSWORD: &str = "for-benches-only";
/// Of a server and not of an authority: rustls tells them apart.
const CERTIFICATE: &str = "\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = localhost
[extensions]
basicConstraints = critical,CA:FALSE
subjectAltName = DNS:localhost
";
/// The name that the certificate is for.
pub(crate) const HOST: &str = "localhost";

impl Secrets {
    /// A certificate with its key, a Java trust store that trusts it, and credentials of a made-up account.
    pub(crate) fn make(project: &str) -> Result<Self> {
        let secrets = Self { folder: TempDir::new()? };
        let (key, certificate) = (secrets.key(), secrets.certificate());
        let config = secrets.path("openssl.cnf");
        fs::write(&config, CERTIFICATE)?;
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-config"])
            .arg(&config)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate))?;
        run(Command::new("keytool")
            .args(["-importcert", "-noprompt", "-alias", "own", "-storepass", PASSWORD])
            .arg("-file")
            .arg(&certificate)
            .arg("-keystore")
            .arg(secrets.trust_store()))?;
        let credentials = json!({
            "type": "service_account",
            "project_id": project,
            "private_key_id": "1",
            "private_key": fs::read_to_string(key)?,
            "client_email": format!("bench@{project}.iam.gserviceaccount.com"),
            "client_id": "1",
            "token_uri": format!("http://{}/token", give_tokens()?),
        });
        fs::write(secrets.credentials(), credentials.to_string())?;
        Ok(secrets)
    }

    pub(crate) fn trust_store(&self) -> PathBuf {
        self.path("trust.p12")
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.path("credentials.json")
    }

    fn key(&self) -> PathBuf {
        self.path("key.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("certificate.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Responds to every request with a token that is not checked, for the lifetime of this process.
fn give_tokens() -> Result<String> {
    const TOKEN: &str = r#"{"access_token":"bench","expires_in":3600,"token_type":"Bearer"}"#;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            // The request is short; a client that sends it in parts retries.
            let _ = connection.read(&mut [0; 8 << 10]);
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{TOKEN}",
                TOKEN.len()
            );
        }
    });
    Ok(address)
}

fn run(command: &mut Command) -> Result<()> {
    let done = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// A stand-in with one subscription that keeps all messages.
pub(crate) struct Sink {
    server: PubSub,
    _runtime: Runtime,
}

/// The contents of a subscription.
pub(crate) struct Taken {
    pub(crate) messages: u64,
    /// Number of messages with distinct data.
    pub(crate) distinct: u64,
}

/// The part of `PubsubMessage` that identifies a message.
#[derive(Clone, PartialEq, Message)]
struct Published {
    #[prost(bytes = "bytes", tag = "1")]
    data: Bytes,
}

impl Sink {
    pub(crate) fn start(secrets: &Secrets, capacity: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (certificate, key) = (fs::read(secrets.certificate())?, fs::read(secrets.key())?);
        let identity = Identity::from_pem(&certificate, &key)?;
        let options = Options { capacity, tls: Some(identity), ..Options::default() };
        let server = runtime.block_on(PubSub::start(options))?;
        Ok(Self { server, _runtime: runtime })
    }

    pub(crate) fn host(&self) -> String {
        self.server.host()
    }

    pub(crate) fn secured(&self) -> Result<String> {
        let address = self.server.secured().context("it was started with an identity")?;
        Ok(format!("{HOST}:{}", address.port()))
    }

    pub(crate) fn received(&self, subscription: &str) -> Result<u64> {
        self.server.received(subscription).context("`aqueduct setup` made the subscription")
    }

    pub(crate) fn taken(&self, subscription: &str) -> Result<Taken> {
        let (hasher, kept) = (RandomState::new(), self.server.kept(subscription));
        let mut seen = HashSet::with_capacity(kept.len());
        for message in &kept {
            seen.insert(hasher.hash_one(&Published::decode(message.as_ref())?.data));
        }
        Ok(Taken { messages: kept.len() as u64, distinct: seen.len() as u64 })
    }
}
