"""The Pub/Sub emulator behind TLS, with credentials of a made-up account and a server that gives tokens for it: Google's sink
1.3.3 takes nothing less.
"""

import asyncio
import json
import os
import pathlib
import ssl
import subprocess
import threading

import fixtures

# Of the server and not of an authority: rustls tells them apart.
CONFIG = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = localhost
[extensions]
basicConstraints = critical,CA:FALSE
subjectAltName = DNS:localhost
"""
PASSWORD = "for-tests-only"  # of a trust store, which has no secret
TOKEN = json.dumps({"access_token": "test", "expires_in": 3600, "token_type": "Bearer"})


class Secured:
    """Serves until the process ends."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.certificate, key, self.store = folder / "certificate.pem", folder / "key.pem", folder / "trust.p12"
        config = folder / "openssl.cnf"
        config.write_text(CONFIG)
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-config", config, "-keyout", key, "-out", self.certificate)
        run("keytool", "-importcert", "-noprompt", "-alias", "own", "-storepass", PASSWORD, "-file", self.certificate, "-keystore", self.store)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.context.set_alpn_protocols(["h2"])
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True).start()
        started.wait()
        self.credentials = fixtures.service_account(folder, token_uri=f"http://127.0.0.1:{self.tokens}/token")

    @property
    def endpoint(self):
        return f"localhost:{self.port}"

    def java_options(self):
        """So that a Java process trusts the certificate."""
        return f"-Djavax.net.ssl.trustStore={self.store} -Djavax.net.ssl.trustStorePassword={PASSWORD}"

    async def _serve(self, started):
        front = await asyncio.start_server(self._forward, "127.0.0.1", 0, ssl=self.context)
        tokens = await asyncio.start_server(self._give_token, "127.0.0.1", 0)
        self.port, self.tokens = (server.sockets[0].getsockname()[1] for server in (front, tokens))
        started.set()
        await asyncio.Event().wait()

    async def _forward(self, reader, writer):
        host, port = os.environ["PUBSUB_EMULATOR_HOST"].rsplit(":", 1)
        back_reader, back_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer), return_exceptions=True)

    async def _give_token(self, reader, writer):
        await reader.read(1 << 14)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(TOKEN)}\r\nConnection: close\r\n\r\n"
        writer.write((head + TOKEN).encode())
        await writer.drain()
        writer.close()


async def pump(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def run(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
