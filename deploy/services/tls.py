"""Certificates for a listener with TLS, made by Java's keytool: an authority, a broker's certificate for 127.0.0.1
signed by it, and a second authority that signed nothing. Their keys lie beside Kafka's jars and are for tests only.
"""

from pathlib import Path

import fetched

AUTHORITY, STRANGER, BROKER = "authority.pem", "stranger.pem", "broker.p12"
# A store wants one. What it keeps is worth nothing outside this machine's tests.
PASSWORD = "for-tests-only"
# Not `localhost`: a client that connects by that name must get a certificate for another name.
NAMES = "san=ip:127.0.0.1"
DAYS = 3650


def make(folder: Path) -> None:
    """Fills the folder, which must not exist."""
    folder.mkdir(mode=0o700)
    for name in (AUTHORITY, STRANGER):
        _pair(folder / f"{name}.p12", f"CN=Aqueduct tests {name}", "-ext", "bc:c")
        _keytool("-exportcert", "-rfc", "-file", folder / name, store=folder / f"{name}.p12")
    broker, request, signed = folder / BROKER, folder / "request", folder / "signed"
    _pair(broker, "CN=broker")
    _keytool("-certreq", "-file", request, store=broker)
    sign = ("-gencert", "-infile", request, "-outfile", signed, "-ext", NAMES, "-validity", DAYS)
    _keytool(*sign, store=folder / f"{AUTHORITY}.p12")
    # The chain ends in the authority, which the store has to know before it takes the certificate.
    _keytool("-importcert", "-noprompt", "-file", folder / AUTHORITY, store=broker, alias="authority")
    _keytool("-importcert", "-noprompt", "-file", signed, store=broker)


def _pair(store: Path, name: str, *options) -> None:
    _keytool("-genkeypair", "-keyalg", "EC", "-dname", name, "-validity", DAYS, *options, store=store)


def _keytool(*words, store: Path, alias: str = "own") -> None:
    common = ("-keystore", store, "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", alias)
    fetched.run(["keytool", *words, *common], f"keytool could not do its part ({words[0]}) for Kafka's TLS listener")
