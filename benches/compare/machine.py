"""Processes and what the kernel knows of them. Everything that is started here is ended here, by its pid."""

import contextlib
import dataclasses
import glob
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
FILES = 16384


def say(text):
    print(text, file=sys.stderr, flush=True)


class Failed(Exception):
    """A measurement that did not work: the case has no figure for this pooler."""


class Machine:
    """A directory, an unprivileged user, and the processes that run for us."""

    def __init__(self, home):
        self.home = home
        self.running = []
        self.user = {}
        if os.geteuid() == 0:
            # PostgreSQL and PgBouncer refuse to run as root.
            name = next(name for name in ("postgres", "nobody") if _is_user(name))
            entry = pwd.getpwnam(name)
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(home, entry.pw_uid, entry.pw_gid)
        os.chmod(home, 0o755)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if os.geteuid() == 0 and hard != resource.RLIM_INFINITY:
            hard = max(hard, FILES)
        self.files = min(hard, FILES) if hard != resource.RLIM_INFINITY else FILES
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, hard))

    def path(self, *names):
        return os.path.join(self.home, *names)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        if self.user:
            os.chown(path, self.user["user"], self.user["group"])
        return path

    def run(self, command, **options):
        """Runs to the end; gives what it printed."""
        process = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        try:
            out, err = process.communicate()
        finally:
            self.stop(process)
        if process.returncode != 0:
            lines = (err or out).decode(errors="replace").strip().splitlines()
            errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
            raise Failed(f"{os.path.basename(command[0])}: {errors[0] if errors else 'failed'}")
        return out.decode(errors="replace")

    def start(self, command, privileged=False, **options):
        """Starts a process in a session of its own, as the unprivileged user."""
        user = {} if privileged else self.user
        # Nobody's own settings and certificates: what is measured is what stands here.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment |= {"HOME": self.home} | options.pop("env", {})
        process = subprocess.Popen(command, cwd=self.home, stdin=subprocess.DEVNULL, env=environment,
                                   start_new_session=True, **user, **options)
        self.running.append(process)
        return process

    def stop(self, process, how=signal.SIGTERM, patience=10):
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.running:
            self.running.remove(process)

    def stop_all(self):
        # A second Ctrl-C must not stop the stopping.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The last one started goes first, PostgreSQL last; SIGINT is its fast shutdown, and
        # immediate for the poolers.
        for process in reversed(list(self.running)):
            self.stop(process, signal.SIGINT, patience=5)


def _is_user(name):
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process, patience=20):
    """Until somebody listens; the process must live on meanwhile."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"it ended with {process.returncode} at its start")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failed("it does not listen")


def _family(pid):
    """A process and its children, as some poolers fork."""
    pids = [pid]
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                    pids += [int(child) for child in file.read().split()]
        except OSError:
            pass
    return pids


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a process and its children have run so far: in ticks of 10 ms, split in two, and exactly."""

    user: int
    system: int
    exact_ns: int


def usage(pid):
    user = system = exact = 0
    for member in _family(pid):
        with open(f"/proc/{member}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
        for path in glob.glob(f"/proc/{member}/task/*/schedstat"):
            with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
                exact += int(file.read().split()[0])
    return Usage(user, system, exact)


def spent(before, after):
    """Seconds (user, system) between two looks."""
    user, system = after.user - before.user, after.system - before.system
    ticks = user + system
    total = (after.exact_ns - before.exact_ns) / 1e9
    # Threads that have ended are in the ticks only.
    if total < 0.9 * (ticks - 2) / TICKS:
        total = ticks / TICKS
    share = user / ticks if ticks else 0
    return total * share, total * (1 - share)


def resident(pid):
    """Resident bytes of a process and its children."""
    total = 0
    for member in _family(pid):
        with open(f"/proc/{member}/status", encoding="utf-8", errors="replace") as file:
            total += int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) * 1024
    return total


def facts():
    """What the figures were measured on."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model[1].strip() if model else os.uname().machine,
        "kernel": os.uname().release.partition("-")[0],
        "load": os.getloadavg()[0],
    }
