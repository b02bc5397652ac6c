"""SCRAM-SHA-256 of both kinds: what a server stores, and what a client says (RFC 5802, RFC 7677)."""

import base64
import functools
import hashlib
import hmac
import os

ITERATIONS = 4096
PASSWORD = "bench"


def verifier(password=PASSWORD, salt=b"pgweir's benches"):
    """As in pg_authid.rolpassword."""
    salted = _salted(password, salt, ITERATIONS)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    server = _hmac(salted, b"Server Key")
    return (f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}")


class ScramClient:
    """One login. The derived key is remembered, so that the pooler's work is measured, not ours."""

    def __init__(self, password=PASSWORD):
        self.password = password
        self.bare = "n=,r=" + _text(os.urandom(18))

    def first(self):
        return ("n,," + self.bare).encode()

    def final(self, challenge):
        challenge = challenge.decode()
        parts = dict(part.split("=", 1) for part in challenge.split(","))
        salted = _salted(self.password, base64.b64decode(parts["s"]), int(parts["i"]))
        client = _hmac(salted, b"Client Key")
        without_proof = "c=biws,r=" + parts["r"]
        message = ",".join([self.bare, challenge, without_proof]).encode()
        signature = _hmac(hashlib.sha256(client).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client, signature))
        return f"{without_proof},p={_text(proof)}".encode()


@functools.lru_cache(maxsize=64)
def _salted(password, salt, iterations):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def _hmac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def _text(data):
    return base64.b64encode(data).decode()
