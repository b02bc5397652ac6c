"""One run of pgbench, with the pooler's CPU time and system calls meanwhile."""

import glob
import os
import re
import signal
import subprocess
import time

import machine
from machine import Failed
from secret import PASSWORD

#: Latencies of so many transactions in a run are enough for a p99, and cost pgbench little.
SAMPLES = 20_000


def run(context, port, pid, options, clients, seconds, tls=False):
    """Gives a dictionary of figures: tps, p50, p99 (ms), user and system (µs per transaction)."""
    prefix = context.machine.path("latency")
    # A guess of the throughput is good enough for the sampling rate.
    rate = min(1.0, SAMPLES / (20_000 * seconds))
    command = _command(context, port, options, clients, seconds)
    command += ["--log", f"--log-prefix={prefix}", f"--sampling-rate={rate:.4f}"]
    command.append("bench")
    try:
        before = machine.usage(pid)
        out = context.machine.run(command, env=_environment(tls))
        after = machine.usage(pid)
        latencies = sorted(int(line.split()[2]) for line in _log(prefix))
    finally:
        _remove(prefix)
    transactions = int(re.search(r"transactions actually processed: (\d+)", out)[1])
    failed = re.search(r"failed transactions: (\d+)", out)
    if transactions == 0 or (failed and int(failed[1])):
        raise Failed("pgbench: failed transactions")
    # With -C the rate is that of connections too; without, the first connections do not count.
    tps = float(re.search(r"tps = ([\d.]+)", out)[1])
    user, system = (part * 1e6 / transactions for part in machine.spent(before, after))
    figures = {"tps": tps, "user": user, "system": system, "cpu": user + system}
    if latencies:
        figures["p50"] = latencies[len(latencies) // 2] / 1000
        figures["p99"] = latencies[len(latencies) * 99 // 100] / 1000
    return figures


def system_calls(context, port, pid, options, clients, seconds, tls=False):
    """System calls of the pooler per transaction, under strace: it is slow then, but they are what they are."""
    prefix = context.machine.path("traced")
    command = _command(context, port, options, clients, seconds + 2)
    command += ["--log", f"--log-prefix={prefix}", "bench"]
    load = context.machine.start(command, env=_environment(tls),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    strace = None
    try:
        time.sleep(0.7)
        strace = context.machine.start(
            ["strace", "-c", "-f", "-U", "calls,name", "-p", str(pid)], privileged=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        first = strace.stderr.readline()
        if b"ttached" not in first:
            raise Failed("strace: " + first.decode(errors="replace").strip())
        time.sleep(0.2)
        begin = time.time()
        time.sleep(seconds)
        end = time.time()
        strace.send_signal(signal.SIGINT)
        summary = strace.stderr.read().decode(errors="replace")
        load.wait(30)
        stamps = []
        for line in _log(prefix):
            fields = line.split()
            stamps.append(int(fields[4]) + int(fields[5]) / 1e6)
    finally:
        for process in (strace, load):
            if process:
                context.machine.stop(process)
        _remove(prefix)
    # strace has counted from its beginning, 0.2 s before ours.
    transactions = sum(begin - 0.2 <= stamp <= end for stamp in stamps)
    calls = {name: int(count) for count, name in re.findall(r"^\s*(\d+)\s+(\w+)$", summary, re.M)}
    total = calls.pop("total", None) or sum(calls.values())
    if transactions < 100:
        raise Failed("too few transactions under strace")
    return total / transactions


def _command(context, port, options, clients, seconds):
    threads = min(clients, len(os.sched_getaffinity(0)))
    return [context.cluster.program("pgbench"), "-n", *options, "-c", str(clients), "-j", str(threads),
            "-T", str(max(1, round(seconds))), "-h", "127.0.0.1", "-p", str(port), "-U", "bench"]


def _environment(tls):
    return {"PGPASSWORD": PASSWORD, "PGSSLMODE": "require" if tls else "disable",
            "PGGSSENCMODE": "disable"}


def _log(prefix):
    for path in glob.glob(prefix + ".*"):
        with open(path, encoding="ascii") as file:
            yield from file


def _remove(prefix):
    for path in glob.glob(prefix + ".*"):
        os.unlink(path)
