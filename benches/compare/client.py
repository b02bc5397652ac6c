"""A client of few words: logs in, sends a query, throws away what comes."""

import socket
import struct

from machine import Failed
from secret import ScramClient

READY = b"Z\0\0\0\5I"


def frame(tag, body):
    return tag + struct.pack("!I", len(body) + 4) + body


class RawClient:
    """One connection, authenticated by trust or SCRAM-SHA-256."""

    def __init__(self, port, user="bench", database="bench"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pairs = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database))
        body = struct.pack("!I", 196608) + pairs + b"\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        self.rest = b""
        self._log_in()

    def _log_in(self):
        scram = None
        while True:
            tag, body = self._message()
            if tag == b"Z":
                return
            if tag == b"E":
                raise Failed(_error(body))
            if tag != b"R":
                continue
            kind, = struct.unpack("!I", body[:4])
            if kind == 10:
                scram = ScramClient()
                first = scram.first()
                self.socket.sendall(frame(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first))
            elif kind == 11:
                self.socket.sendall(frame(b"p", scram.final(body[4:])))
            elif kind not in (0, 12):
                raise Failed(f"authentication request {kind}")

    def _message(self):
        while len(self.rest) < 5 or len(self.rest) < 1 + struct.unpack("!I", self.rest[1:5])[0]:
            data = self.socket.recv(8192)
            if not data:
                raise Failed("the pooler closed the connection")
            self.rest += data
        length = 1 + struct.unpack("!I", self.rest[1:5])[0]
        message, self.rest = self.rest[:length], self.rest[length:]
        return message[:1], message[5:]

    def query(self, text):
        """Runs a query and throws its result away; gives the number of bytes."""
        self.socket.sendall(frame(b"Q", text.encode() + b"\0"))
        return self._read_to_ready()

    def copy_in(self, text, total, size=8192):
        """COPY FROM STDIN of so many bytes, in frames as psql sends them."""
        self.socket.sendall(frame(b"Q", text.encode() + b"\0"))
        tag, body = self._message()
        if tag != b"G":
            raise Failed(_error(body) if tag == b"E" else f"{tag} instead of CopyInResponse")
        line = b"x" * 99 + b"\n"
        data = line * (size // len(line))
        pack = frame(b"d", data) * 16
        sent = 0
        while sent < total:
            self.socket.sendall(pack)
            sent += len(pack)
        self.socket.sendall(frame(b"c", b""))
        self._read_to_ready()
        return sent

    def _read_to_ready(self):
        buffer = bytearray(1 << 18)
        view = memoryview(buffer)
        total, start, tail = 0, b"", b""
        while True:
            count = self.socket.recv_into(buffer)
            if count == 0:
                raise Failed("the pooler closed the connection")
            total += count
            if not start:
                start = bytes(view[:min(count, 200)])
            tail = (tail + bytes(view[max(0, count - 6):count]))[-6:]
            # Only rows of our own making come: they contain no such bytes.
            if tail == READY:
                break
        if start[:1] == b"E":
            raise Failed(_error(start[5:]))
        return total

    def close(self):
        self.socket.close()


def _error(body):
    for field in body.split(b"\0"):
        if field[:1] == b"M":
            return field[1:].decode(errors="replace")
    return "an error without a message"
