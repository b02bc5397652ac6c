"""The poolers that take part, each with a configuration that says the same."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess

from machine import Failed, free_port, say, wait_for_port
from secret import verifier

SERVERS = 20
CLIENTS_MAX = 6000
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

PGBOUNCER_INI = """[databases]
bench = host=127.0.0.1 port={pgport} dbname=bench
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {auth}
auth_file = {userlist}
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = {clients}
listen_backlog = 1024
log_connections = 0
log_disconnections = 0
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = allow
client_tls_cert_file = {cert}
client_tls_key_file = {key}
server_tls_sslmode = disable
"""

PGWEIR_TOML = """[pgweir]
listen_addr = ["127.0.0.1"]
listen_port = {port}
unix_socket_dir = ""
auth_type = "{auth}"
auth_file = "{userlist}"
pool_mode = "transaction"
default_pool_size = {servers}
max_client_conn = {clients}
log_connections = false
log_disconnections = false
client_tls_sslmode = "allow"
client_tls_cert_file = "{cert}"
client_tls_key_file = "{key}"
server_tls_sslmode = "disable"
workers = {workers}

[databases.bench]
hosts = ["127.0.0.1:{pgport}"]
"""


class Instance:
    """One running process of a pooler."""

    def __init__(self, process, port):
        self.process = process
        self.port = port
        self.pid = process.pid


class Pooler:
    """A program with its configuration; runs once for each kind of login, when first needed."""

    def __init__(self, title, command, template, suffix, workers=1, version=None):
        self.title = title
        self.command = command
        self.template = template
        self.suffix = suffix
        self.workers = workers
        self.version = version
        #: PgBouncer's prepared statements follow clients since 1.21.
        self.maps_names = version is None or version >= (1, 21)
        self.is_pgbouncer = version is not None
        self.cluster = None
        self.running = {}

    def attach(self, cluster):
        self.cluster = cluster

    def instance(self, auth):
        """The process for clients that log in like this."""
        running = self.running.get(auth)
        if running is None or running.process.poll() is not None:
            running = self.running[auth] = self._start(auth)
        return running

    @contextlib.contextmanager
    def fresh(self, auth):
        """A process that has not done anything yet."""
        instance = self._start(auth)
        try:
            yield instance
        finally:
            self.cluster.machine.stop(instance.process, signal.SIGINT)

    def stop(self):
        for instance in self.running.values():
            self.cluster.machine.stop(instance.process, signal.SIGINT)
        self.running = {}

    def _start(self, auth):
        home = self.cluster.machine
        port = free_port()
        cert, key = certificate(home)
        values = {
            "port": port, "pgport": self.cluster.port, "auth": auth, "workers": self.workers,
            "servers": SERVERS, "clients": CLIENTS_MAX, "cert": cert, "key": key,
            "userlist": home.write("userlist.txt", f'"bench" "{verifier()}"\n'),
        }
        text = self.template.format(**values)
        values["config"] = home.write(f"pooler-{port}{self.suffix}", text)
        command = [part.format(**values) for part in self.command]
        log_path = home.path(f"pooler-{port}.log")
        with open(log_path, "wb") as log:
            process = home.start(command, stdout=log, stderr=log)
        try:
            wait_for_port(port, process)
        except Failed as why:
            home.stop(process)
            with open(log_path, encoding="utf-8", errors="replace") as log:
                last = (log.read().strip().splitlines() or [""])[-1]
            raise Failed(f"{self.title}: {why}: {last}") from None
        return Instance(process, port)


def certificate(home):
    """A certificate of its own for TLS towards clients, the same for all."""
    cert, key = home.path("cert.pem"), home.path("key.pem")
    if not os.path.exists(cert):
        home.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert])
    return cert, key


def find_poolers(home, names=None):
    """PgBouncer first: the others are compared with it."""
    _installed("strace")
    found = [_pgbouncer("PgBouncer", [_pgbouncer_program(), "{config}"])]
    found += _others()
    found += _pgweirs(home)
    if names:
        names = names.split(",")
        found = [pooler for pooler in found if any(name in pooler.title for name in names)]
        if not found:
            raise SystemExit("there is no such pooler")
    return found


def _pgbouncer_program():
    program = os.environ.get("PGBOUNCER_BIN") or _installed("pgbouncer")
    if program is None:
        raise SystemExit("PgBouncer is missing: install the package pgbouncer, or set PGBOUNCER_BIN")
    return program


def _installed(name):
    """A program; if it is missing and may be installed, from Debian's package of that name."""
    program = shutil.which(name, path=_path())
    if program is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {name}")
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", name], check=False,
                       stdout=subprocess.DEVNULL, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
        program = shutil.which(name, path=_path())
    return program


def _path():
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"


def _pgbouncer(title, command):
    """A pooler that reads PgBouncer's format; its version decides what it can do."""
    try:
        out = subprocess.run([command[0], "--version"], capture_output=True, text=True, timeout=10,
                             check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        out = ""
    known = re.search(r"PgBouncer (\d+)\.(\d+)", out)
    version = (int(known[1]), int(known[2])) if known else None
    template = PGBOUNCER_INI
    if version is None or version >= (1, 21):
        template += "max_prepared_statements = 200\n"
    if version and title == "PgBouncer":
        title = f"PgBouncer {version[0]}.{version[1]}"
    return Pooler(title, command, template, ".ini", version=version)


def _others():
    text = os.environ.get("BENCH_POOLERS", "")
    for line in re.split(r"\n|;;", text):
        if line.strip():
            name, equals, command = line.strip().partition("=")
            if not equals:
                raise SystemExit(f"BENCH_POOLERS: {line.strip()!r} is not NAME=COMMAND")
            yield _pgbouncer(name.strip(), shlex.split(command))


def _pgweirs(home):
    binary = os.environ.get("PGWEIR_BIN") or os.path.join(ROOT, "target", "release", "pgweir")
    if not os.path.exists(binary):
        say("pgweir is missing: run `cargo build --release -p pgweir-proxy`, or set PGWEIR_BIN")
        return
    # The unprivileged user may not see the directory that it was built in.
    copy = home.path("pgweir")
    shutil.copyfile(binary, copy)
    os.chmod(copy, 0o755)
    for workers, title in ((1, "pgweir"), (2, "pgweir, 2 workers")):
        yield Pooler(title, [copy, "{config}"], PGWEIR_TOML, ".toml", workers=workers)
