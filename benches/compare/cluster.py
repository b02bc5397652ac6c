"""One throwaway PostgreSQL for the run."""

import glob
import os
import shutil
import signal
import time

from machine import Failed, free_port, say

SCALE = 10


def bindir():
    if os.environ.get("PG_BINDIR"):
        return os.environ["PG_BINDIR"]
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if found:
        newest = max(found, key=lambda path: int(path.split("/")[4]))
        return os.path.dirname(newest)
    path = shutil.which("initdb")
    if not path:
        raise SystemExit("PostgreSQL's server programs are missing: install postgresql, or set PG_BINDIR")
    return os.path.dirname(path)


class Cluster:
    """PostgreSQL on a port of its own, with pgbench's tables in the database "bench"."""

    def __init__(self, machine):
        self.machine = machine
        self.bin = bindir()
        self.port = free_port()
        self.process = None

    def program(self, name):
        path = os.path.join(self.bin, name)
        return path if os.path.exists(path) else (shutil.which(name) or path)

    def start(self):
        say("PostgreSQL starts")
        data = self.machine.path("data")
        self.machine.run([self.program("initdb"), "-D", data, "-N", "-A", "trust", "-U", "bench",
                          "-E", "UTF8", "--locale=C"])
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 400,
            "shared_buffers": "256MB",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "autovacuum": "off",
            "max_wal_size": "4GB",
            "checkpoint_timeout": "1h",
            "dynamic_shared_memory_type": "mmap",
        }
        command = [self.program("postgres"), "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = open(self.machine.path("postgres.log"), "wb")
        self.process = self.machine.start(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        ready = [self.program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while True:
            try:
                self.machine.run(ready)
                break
            except Failed:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.sql("postgres", "create database bench")
        self.machine.run([self.program("pgbench"), "-i", "-q", "-s", str(SCALE), "-h", "127.0.0.1",
                          "-p", str(self.port), "-U", "bench", "bench"])
        self.sql("bench", "create unlogged table sink (line text)")

    def sql(self, database, text):
        return self.machine.run([self.program("psql"), "-XqAt", "-h", "127.0.0.1", "-p", str(self.port),
                                 "-U", "bench", "-d", database, "-c", text]).strip()

    def settle(self):
        """Between runs: no work left over from the one before."""
        self.sql("bench", "checkpoint")

    def stop(self):
        self.machine.stop(self.process, signal.SIGINT, patience=20)
