# Copyright (c) 2026 Rewind contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's own certificate authority and the certificates of its servers."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.processes import Identity

DOMAIN = "sandbox.localhost"
# A wildcard covers one label, so every region whose host names are handed out needs its own.
REGIONS = (
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-central-1",
    "eu-west-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "sa-east-1",
)
NAMES = ("localhost", f"*.{DOMAIN}", f"*.aws.{DOMAIN}", *(f"*.{region}.aws.{DOMAIN}" for region in REGIONS))


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the authority that clients may trust, the servers' pair, and the pair of sandbox clients."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    def server_context(self) -> ssl.SSLContext:
        """For the public port: TLS 1.2 or newer, the protocol name that direct TLS needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server, self.server_key)
        context.set_alpn_protocols(["postgresql"])
        return context

    def backend_context(self) -> ssl.SSLContext:
        """For connections to the servers behind: verifies them, and shows that it is the sandbox itself."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.client, self.client_key)
        return context

    def end_point_hash(self) -> bytes:
        """What channel binding of type ``tls-server-end-point`` (RFC 5929) signs: SHA-256 of the certificate."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.server.read_text().split("-----END")[0] + _END)).digest()


_END = "-----END CERTIFICATE-----\n"


def ensure_certificates(folder: Path, identity: Identity | None, names: Iterable[str] = NAMES) -> Certificates:
    """Makes what is missing in `folder` and returns the paths. Keys are 0600 and the servers' belongs to `identity`.

    A certificate lasts ten years from the first start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    names_of_files = ("ca.crt", "server.crt", "server.key", "client.crt", "client.key")
    paths = Certificates(*(folder / name for name in names_of_files))
    if not all(path.exists() for path in (paths.authority, paths.server, paths.server_key, paths.client_key)):
        key = ec.generate_private_key(ec.SECP256R1())
        authority = _issue("rewind sandbox authority", key, key, None, None)
        for path, key_path, name, alternatives in (
            (paths.server, paths.server_key, "localhost", list(names)),
            (paths.client, paths.client_key, "rewind-sandbox", None),
        ):
            own = ec.generate_private_key(ec.SECP256R1())
            issued = _issue(name, own, key, authority, alternatives)
            _write(path, issued.public_bytes(serialization.Encoding.PEM), 0o644)
            _write(key_path, _key_bytes(own), 0o600)
        # Last: its presence says that the rest is complete. The authority's key is kept nowhere.
        _write(paths.authority, authority.public_bytes(serialization.Encoding.PEM), 0o644)
    if identity is not None:
        os.chown(paths.server_key, identity.uid, identity.gid)  # PostgreSQL insists on owning its key
    return paths


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    path.chmod(mode)


def _issue(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate | None,
    alternatives: list[str] | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    is_authority = authority is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(is_authority), critical=True)
    )
    if not is_authority:
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if alternatives else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if alternatives:
        general: list[x509.GeneralName] = [x509.DNSName(alternative) for alternative in alternatives]
        general.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
