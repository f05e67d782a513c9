"""BigQuery as the stand-in of `tests/doubles`, with a certificate that Java trusts, and its rows in a comparable form."""

import asyncio
import json
import pathlib
import subprocess
import sys
import threading
import urllib.request
from datetime import datetime

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "connect"))

from secured import pump  # noqa: E402

TLS_HANDSHAKE = b"\x16"
PASSWORD = "for-tests-only"  # of a trust store, which has no secret


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


class BigQuery:
    """The stand-in behind TLS, as Google's client takes nothing else."""

    def __init__(self, folder, program, project, dataset):
        self.place = (project, dataset)
        certificate, key, store = folder / "certificate.pem", folder / "key.pem", folder / "trust.p12"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate)
        run("keytool", "-importcert", "-noprompt", "-alias", "own", "-storepass", PASSWORD, "-file", certificate, "-keystore", store)
        self.process = subprocess.Popen([program, certificate, key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.plain, self.secured = self.process.stdout.readline().split()
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True).start()
        started.wait()
        self.java = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword={PASSWORD}"

    async def _serve(self, started):
        front = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = front.sockets[0].getsockname()[1]
        started.set()
        await asyncio.Event().wait()

    async def _forward(self, reader, writer):
        """Beam has one option for both APIs. Its client of the REST API trusts Google's authorities only, so that API is plain
        here; the Storage Write API is always behind TLS."""
        first = await reader.read(1 << 16)
        host, port = (self.secured if first[:1] == TLS_HANDSHAKE else self.plain).rsplit(":", 1)
        back_reader, back_writer = await asyncio.open_connection(host.replace("localhost", "127.0.0.1"), port)
        back_writer.write(first)
        await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer), return_exceptions=True)

    def rows(self, table):
        project, dataset = self.place
        body = json.dumps({"query": f"SELECT * FROM `{project}.{dataset}.{table}`"}).encode()
        url = f"http://{self.plain}/bigquery/v2/projects/{project}/queries"
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer = json.load(answer)
        names = [field["name"] for field in answer["schema"]["fields"]]
        return [dict(zip(names, (cell["v"] for cell in row["f"]))) for row in answer.get("rows", [])]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def comparable(row, texts):
    """A row of JSON or of BigQuery by its key, without the columns that say when and why it fired. {texts} are the columns that
    are no numbers."""
    late = ("pane", "pane_index", "watermark", "emitted_at", "aqueduct_key", "flow")
    values = {name: value for name, value in row.items() if name not in late}
    for name, value in values.items():
        if value is not None and name in ("window_start", "window_end"):
            # A time in JSON; in BigQuery its microseconds.
            values[name] = datetime.fromisoformat(value).timestamp() if "T" in value else int(value) / 1e6
        elif value is not None and name not in texts:
            values[name] = float(value)
    return json.dumps(values, sort_keys=True)
