#!/usr/bin/env python3
"""Side by side with PgBouncer: one PostgreSQL, one run, the poolers in turn.

Prints a Markdown table; absolute figures mean nothing on a machine that others use, so all
poolers take part in every round, in rotating order, and what counts are the ratios.

environment:
  PGWEIR_BIN     the binary (target/release/pgweir)
  PG_BINDIR      where initdb, postgres and pgbench are (the newest /usr/lib/postgresql/*/bin)
  PGBOUNCER_BIN  PgBouncer (pgbouncer; Debian's package is installed if it is missing and we are root)
  BENCH_POOLERS  others that take part: NAME=COMMAND, several separated by newlines or ";;".
                 The command must stay in the foreground and listen on 127.0.0.1:{port} for the
                 database and user "bench", with 20 connections in transaction mode to
                 127.0.0.1:{pgport} (where "bench" needs no password). It may use
                   {config}    a configuration in PgBouncer's format that says just that
                   {userlist}  the user and its secret in PgBouncer's format
                   {auth}      how clients log in: trust or scram-sha-256
                   {cert} {key} for TLS towards clients
                   {workers}   1
                 Example: BENCH_POOLERS='pgbouncer 1.25=/opt/pgbouncer-1.25/pgbouncer {config}'
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time

import cases
import table
from cluster import Cluster
from machine import Machine, say
from poolers import find_poolers
from rounds import Rounds


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short runs, two rounds: for trying")
    parser.add_argument("--only", metavar="NAME", action="append",
                        help="cases (see --list) or groups whose name contains NAME; may be repeated")
    parser.add_argument("--poolers", metavar="NAMES", help="only these, separated by commas; the "
                        "first one that is PgBouncer, or the first one, is what others are compared with")
    parser.add_argument("--rounds", type=int, help="rounds for each case (3)")
    parser.add_argument("--seconds", type=float, help="length of each pgbench run (4)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--list", action="store_true", help="the names of the cases")
    return parser.parse_args()


def main():
    args = arguments()
    chosen = cases.choose(args.only)
    if args.list:
        print("\n".join(f"{case.name:24} {case.group}" for case in chosen))
        return
    if not chosen:
        sys.exit("no case has such a name: see --list")
    seconds = args.seconds or (1 if args.quick else 4)
    rounds = args.rounds or (2 if args.quick else 3)

    # Ctrl-C and kill both run the clean-up below; children are in sessions of their own and get
    # nothing from the terminal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        home = tempfile.mkdtemp(prefix="pgweir-bench-")
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        machine = Machine(home)
        stack.callback(machine.stop_all)
        poolers = find_poolers(machine, args.poolers)
        say("poolers: " + ", ".join(pooler.title for pooler in poolers))
        cluster = Cluster(machine)
        cluster.start()
        for pooler in poolers:
            pooler.attach(cluster)
        context = cases.Context(machine, cluster, seconds, args.quick)
        results = Rounds(poolers, rounds).run(chosen, context)
        text = table.render(results, poolers, chosen, context, time.monotonic() - began)
    print(text)
    if args.write:
        here = os.path.dirname(os.path.abspath(__file__))
        table.write(os.path.join(here, "..", "..", "docs", "performance.md"), text)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
