"""HTTPS with a password in front of an HTTP server: PORT CERTIFICATE KEY USER:PASSWORD BEHIND."""

import base64
import ssl
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, certificate, key, login, behind = sys.argv[1:]
EXPECTED = "Basic " + base64.b64encode(login.encode()).decode()


class Front(BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.headers.get("Authorization") != EXPECTED:
            self.reply(401, b"no auth header received")
            return
        request = urllib.request.Request(behind + self.path, body or None, method=self.command)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as answer:
                self.reply(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            self.reply(error.code, error.read())

    do_GET = answer
    do_POST = answer

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server = ThreadingHTTPServer(("127.0.0.1", int(port)), Front)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
