"""A stand-in for the status server of Kubeflow Trainer: real TLS with a CA of its own, in a thread.

It accepts what Trainer 2.3 accepts: the token that is in the file now, and a payload whose
``trainerStatus`` meets the schema of the TrainJob's CRD.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from jsonschema import Draft202012Validator, FormatChecker

PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/runs/trainjobs/dgunet-1/status"
TOKEN = "a.projected-token.0"

METRIC = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "value"],
    "properties": {
        part: {"type": "string", "minLength": 1, "maxLength": 64} for part in ("name", "value")
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "progressPercentage": {
            "type": "integer",
            "format": "int32",
            "minimum": 0,
            "maximum": 100,
        },
        "estimatedRemainingSeconds": {"type": "integer", "format": "int32", "minimum": 0},
        "lastUpdatedTime": {"type": "string", "format": "date-time"},
        "metrics": {"type": "array", "items": METRIC},
    },
}
"""The trainer status in Trainer's CRD; a test compares it with the CRD itself."""

RULE = "lastUpdatedTime"
"""A field that a CEL rule of the CRD requires."""


def faults(status):
    """Return what the CRD refuses in ``status``."""
    checker = FormatChecker(())

    @checker.checks("int32")
    def is_int32(value):
        return not isinstance(value, int) or abs(value) < 2**31

    @checker.checks("date-time", raises=ValueError)
    def is_time(value):
        return datetime.datetime.fromisoformat(value).tzinfo is not None

    found = [
        e.message for e in Draft202012Validator(SCHEMA, format_checker=checker).iter_errors(status)
    ]
    return found + [f"{RULE} is required"] * (RULE not in status)


class StatusStandIn:
    """The server's state, which tests set and read.

    Attributes:
        url, ca, token: what Trainer gives to the pods: an address and two files.
        accepted: the trainer statuses that were accepted, in order.
        answers: statuses of the responses to the next posts, before anything is checked.
        requests: number of posts.
        hangs: while it is set, posts get no response.
    """

    def __init__(self, folder):
        self.folder = folder
        self.ca, self.token = folder / "ca.crt", folder / "token"
        self.accepted, self.answers, self.requests = [], [], 0
        self.hangs = threading.Event()
        self.token.write_text(TOKEN + "\n")

    @property
    def variables(self):
        """The variables that Trainer sets in the pods."""
        names = {"URL": self.url, "CA_CERT": str(self.ca), "TOKEN": str(self.token)}
        return {f"KUBEFLOW_TRAINER_SERVER_{name}": value for name, value in names.items()}

    def answer(self, path, authorization, body):
        """Return the status and the message for a post."""
        self.requests += 1
        if self.answers:
            status = self.answers.pop(0)
            return status, f"told to refuse {authorization}"
        if path != PATH:
            return 404, "Not found"
        if authorization != f"Bearer {self.token.read_text().strip()}":
            return 403, "Forbidden"
        content = json.loads(body)
        if set(content) != {"trainerStatus"} or (found := faults(content["trainerStatus"])):
            return 422, f"invalid: {content if set(content) != {'trainerStatus'} else found}"
        self.accepted.append(content["trainerStatus"])
        return 200, ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        standin = self.server.standin
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if standin.hangs.is_set():
            standin.requests += 1
            self.server.released.wait(30)
            self.close_connection = True
            return
        status, message = standin.answer(self.path, self.headers.get("Authorization"), body)
        text = json.dumps({"kind": "Status", "code": status, "message": message}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def status_server(folder):
    """Start the stand-in on a free port; its files are in ``folder``."""
    standin = StatusStandIn(folder)
    certificate = write_certificates(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # refused certificates and clients that went away
    server.daemon_threads = True
    server.standin, server.released = standin, threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    standin.url = f"https://127.0.0.1:{server.server_port}{PATH}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield standin
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def write_certificates(folder, name="ca.crt"):
    """Write a new CA to the file ``name``; return the file of a certificate that it signed."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's CA")])
    ca = _signed(ca_name, ca_key.public_key(), ca_name, ca_key, ca_key, None)
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "status server")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = _signed(own, key.public_key(), ca_name, ca_key, ca_key, address)
    (folder / name).write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / f"{name}.server.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def _signed(subject, public, issuer, issuer_key, signer, address):
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), True)
    )
    if address is None:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), False)
    return builder.sign(signer, hashes.SHA256())
