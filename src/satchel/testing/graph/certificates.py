"""The simulator's own certificate authority, the server's certificate, and one for an app to sign in with."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=30)
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class ServerFiles(NamedTuple):
    """PEM files: the authority that clients are to trust, and the server's certificate with its key."""

    ca_file: Path
    server_file: Path


def make_server_certificate(folder: Path) -> ServerFiles:
    """A new authority and a certificate for 127.0.0.1 and localhost, good for 30 days."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, ca_name = ec.generate_private_key(ec.SECP256R1()), _name("Satchel simulator CA")
    ca = _builder(ca_name, ca_name, ca_key).add_extension(x509.BasicConstraints(True, 0), critical=True)
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
    ca = ca.add_extension(_signs_certificates(), critical=True)
    server_key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    server = _builder(_name("localhost"), ca_name, server_key)
    server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
    server = server.add_extension(x509.BasicConstraints(False, None), critical=True)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    server = server.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    )
    files = ServerFiles(folder / "ca.pem", folder / "server.pem")
    _write(files.ca_file, _pem(ca.sign(ca_key, hashes.SHA256())))
    _write(files.server_file, _key_pem(server_key) + _pem(server.sign(ca_key, hashes.SHA256())))
    return files


def make_client_certificate(file: Path) -> x509.Certificate:
    """A certificate of an app, written with its key into one PEM file."""
    key, name = rsa.generate_private_key(public_exponent=65537, key_size=2048), _name("Satchel simulator app")
    certificate = _builder(name, name, key).sign(key, hashes.SHA256())
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, _key_pem(key) + _pem(certificate))
    return certificate


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
    )


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, pem: bytes) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.write_bytes(pem)
