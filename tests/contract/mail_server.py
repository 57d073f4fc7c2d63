"""A real SMTP server on loopback. Prints "ready", then each message that it takes as one line of JSON; ends with its input."""

import datetime, ipaddress, json, ssl, sys, threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificates(folder):
    """A root (ca.pem), and a certificate for 127.0.0.1 and localhost under it (cert.pem, key.pem)."""
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)

    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def certificate(subject, key, issuer, issuer_key, ca):
        made = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - day).not_valid_after(now + day)
        made = made.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    files = {
        "ca.pem": certificate("test root", root, "test root", root, True),
        "cert.pem": certificate("localhost", leaf, "test root", root, False),
        "key.pem": leaf.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for file, content in files.items():
        with open(f"{folder}/{file}", "wb") as out:
            out.write(content)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such user here"
        if address.startswith("full@"):
            return "452 mailbox full, try again later"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        message = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "data": envelope.content.decode()}
        print(json.dumps(message), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    known = data.login == b"user" and data.password == b"s3cr3t0123"
    # not handled: the server itself says 535
    return AuthResult(success=known, handled=known)


def main():
    mode, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    certificates(folder)
    if mode != "certificates":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
        settings = {"authenticator": authenticate, "auth_require_tls": mode == "starttls"}
        if mode == "starttls":
            settings |= {"tls_context": context, "require_starttls": True, "auth_required": True}
        if mode == "implicit":
            settings |= {"ssl_context": context, "auth_required": True}
        Controller(Handler(), hostname="127.0.0.1", port=port, **settings).start()
    print("ready", flush=True)
    sys.stdin.read()


main()
