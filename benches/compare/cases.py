"""What is measured: each case gives a dictionary of figures for one pooler in one round."""

import dataclasses
import time
from typing import Callable

import machine
import pgbench
from client import RawClient

MEGABYTE = 1_000_000
IDLE_CLIENTS = 5000

PIPELINE = ("\\set aid random(1, 100000 * :scale)\n\\startpipeline\n"
            + "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n" * 10
            + "\\endpipeline\n")


@dataclasses.dataclass
class Context:
    """What every case needs to know."""

    machine: object
    cluster: object
    seconds: float
    quick: bool


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table for each pooler."""

    name: str
    group: str
    title: str
    measure: Callable
    #: Figures that need no rounds: measured once, after them.
    once: Callable = None
    auth: str = "trust"
    #: Uses prepared statements with names.
    named: bool = False
    rounds: int = None

    def can(self, pooler):
        return pooler.maps_names or not self.named


def _pgbench_case(name, group, title, clients, options, tls=False, named=False, trace=True):
    def measure(context, pooler, instance):
        del pooler
        found = options(context) if callable(options) else options
        return pgbench.run(context, instance.port, instance.pid, found, clients, context.seconds, tls)

    def calls(context, pooler, instance):
        del pooler
        found = options(context) if callable(options) else options
        seconds = 1 if context.quick else 1.5
        return {"calls": pgbench.system_calls(
            context, instance.port, instance.pid, found, clients, seconds, tls)}

    return Case(name, group, title, measure, calls if trace else None, named=named)


def _pipeline(mode):
    def options(context):
        script = context.machine.write("pipeline.sql", PIPELINE)
        return ["-f", script, "-M", mode, "-D", "scale=10"]
    return options


def _transfer(volume, transfer):
    """CPU seconds of the pooler per GB, and GB per second."""
    def measure(context, pooler, instance):
        del pooler
        client = RawClient(instance.port)
        try:
            total = volume // 4 if context.quick else volume
            # A connection that works and a server connection that is there.
            client.query("select 1")
            before, begin = machine.usage(instance.pid), time.monotonic()
            moved = transfer(client, total)
            end, after = time.monotonic(), machine.usage(instance.pid)
        finally:
            client.close()
        user, system = (part / moved * 1e9 for part in machine.spent(before, after))
        return {"rate": moved / (end - begin) / MEGABYTE,
                "user": user, "system": system, "cpu": user + system}
    return measure


def _rows(width):
    def transfer(client, total):
        # A DataRow has 11 bytes besides its one column.
        count = total // width
        return client.query(f"select repeat('x', {width - 11}) from generate_series(1, {count})")
    return transfer


def _copy_in(client, total):
    # The server reads all of it and keeps nothing: it is the pooler that is measured.
    return client.copy_in("copy sink from stdin where false", total)


def _connect(context, pooler, instance):
    del pooler
    figures = pgbench.run(context, instance.port, instance.pid, ["-S", "-C"], 16, context.seconds)
    # Each of pgbench's threads connects one client after the other, the others' clocks going on.
    del figures["p50"], figures["p99"]
    return figures


def _idle(context, pooler, instance):
    """Memory of many clients that have logged in and do nothing."""
    del instance
    wanted = min(IDLE_CLIENTS // 10 if context.quick else IDLE_CLIENTS, context.machine.files - 200)
    clients = []
    with pooler.fresh("scram-sha-256") as instance:
        time.sleep(0.3)
        rest = machine.resident(instance.pid)
        try:
            first = RawClient(instance.port)
            clients.append(first)
            first.query("select 1")
            before, begin = machine.resident(instance.pid), time.monotonic()
            used = machine.usage(instance.pid)
            for _ in range(wanted):
                clients.append(RawClient(instance.port))
            took = time.monotonic() - begin
            cpu = machine.spent(used, machine.usage(instance.pid))
            time.sleep(0.3)
            idle = machine.resident(instance.pid) - before
            for client in clients:
                client.query("select repeat('x', 100)")
            time.sleep(0.3)
            after = machine.resident(instance.pid) - before
        finally:
            for client in clients:
                client.close()
    return {"rest": rest / 2**20, "idle": idle / wanted / 1024, "used": after / wanted / 1024,
            "clients": wanted, "login": sum(cpu) / wanted * 1e6, "logins": wanted / took}


def all_cases():
    cases = []
    for mode in ("simple", "extended", "prepared"):
        for clients in (8, 64, 256):
            cases.append(_pgbench_case(
                f"select-{mode}-{clients}", "select", f"{mode}, {clients} clients", clients,
                ["-S", "-M", mode], named=mode == "prepared"))
    for mode in ("extended", "prepared"):
        cases.append(_pgbench_case(
            f"pipeline-{mode}", "other", f"pipeline of 10, {mode}, 64 clients", 64, _pipeline(mode),
            named=mode == "prepared"))
    cases.append(_pgbench_case("tpcb", "other", "TPC-B-like (7 statements), simple, 64 clients", 64,
                               ["-b", "tpcb-like"]))
    cases.append(_pgbench_case("tls", "other", "select-only over TLS, simple, 64 clients", 64, ["-S"],
                               tls=True))
    cases += [
        Case("rows-small", "transfer", "result of 200 MB, rows of 100 bytes",
             _transfer(200 * MEGABYTE, _rows(100))),
        Case("rows-large", "transfer", "result of 400 MB, rows of 1 MB",
             _transfer(400 * MEGABYTE, _rows(MEGABYTE))),
        Case("copy-in", "transfer", "COPY in of 400 MB, messages of 8 kB",
             _transfer(400 * MEGABYTE, _copy_in)),
        Case("connect", "connect", "a connection for each transaction (pgbench -C), SCRAM, 16 clients",
             _connect, auth="scram-sha-256"),
        Case("idle", "idle", "clients that idle, SCRAM", _idle, auth=None, rounds=1),
    ]
    return cases


def choose(names):
    found = all_cases()
    if names:
        found = [case for case in found
                 if any(name in case.name or name in case.group for name in names)]
    return found


