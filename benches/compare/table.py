"""The results as Markdown."""

import os
import time

import machine

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"

INTRO = f"""# Performance

What `make bench` has found. Absolute figures mean nothing on a machine that others use; what counts
is how the poolers compare, each figure being the median of rounds in which they took turns.

{BEGIN}
{END}
"""

#: Figure, title of its column, format; a title with "/" is the ratio to PgBouncer.
COLUMNS = {
    "load": [("tps", "tps", "{:,.0f}"), ("p50", "p50 ms", "{:.2f}"), ("p99", "p99 ms", "{:.2f}"),
             ("user", "CPU user µs", "{:.1f}"), ("system", "system µs", "{:.1f}"),
             ("cpu", "together", "{:.1f}"), ("calls", "system calls", "{:.2f}"),
             ("/tps", "tps ratio", "{:.2f}"), ("/cpu", "CPU ratio", "{:.2f}")],
    "transfer": [("rate", "MB/s", "{:,.0f}"), ("user", "CPU user s/GB", "{:.2f}"),
                 ("system", "system s/GB", "{:.2f}"), ("cpu", "together", "{:.2f}"),
                 ("/rate", "MB/s ratio", "{:.2f}"), ("/cpu", "CPU ratio", "{:.2f}")],
    "idle": [("rest", "resident MB at rest", "{:.1f}"), ("idle", "kB per idle client", "{:.2f}"),
             ("used", "the same after a query", "{:.2f}"), ("login", "CPU µs per login", "{:.0f}"),
             ("logins", "logins per s", "{:,.0f}"), ("/idle", "kB ratio", "{:.2f}"),
             ("/login", "CPU ratio", "{:.2f}")],
}

GROUPS = [
    ("select", "load", "Select-only"),
    ("other", "load", "Pipelines, TPC-B, TLS"),
    ("connect", "load", "Connecting"),
    ("transfer", "transfer", "Much data"),
    ("idle", "idle", "Idle clients"),
]


def render(results, poolers, chosen, context, took):
    """The whole report."""
    lines = [_head(results, poolers, context, took)]
    for group, kind, title in GROUPS:
        cases = [case for case in chosen if case.group == group]
        if cases:
            lines += ["", f"## {title}", ""]
            lines += _table(results, poolers, cases, COLUMNS[kind])
    lines += _notes(results)
    return "\n".join(lines)


def _head(results, poolers, context, took):
    facts = machine.facts()
    version = context.cluster.sql("bench", "show server_version").split()[0]
    names = "; ".join(pooler.title for pooler in poolers)
    bases = [pooler.title for pooler in results.bases]
    bases = bases[:1] + [f"{title} where that one has nothing" for title in bases[1:2]]
    return (
        f"{time.strftime('%Y-%m-%d')}: {facts['cores']} cores ({facts['processor']}), Linux "
        f"{facts['kernel']}, PostgreSQL {version}, all on this machine over TCP; {names}; 20 server "
        f"connections in transaction mode; {results.rounds} rounds of {context.seconds:g} s each; "
        f"{took / 60:.0f} minutes, load average {facts['load']:.1f} at the end.\n\n"
        f"CPU is that of the pooler's process per transaction (per pipeline, per connection). System "
        f"calls were counted under strace, apart from the rest. Ratios are to {' or '.join(bases)}: "
        f"for tps and MB/s more is better, for CPU and memory less.")


def _table(results, poolers, cases, columns):
    shown = [column for column in columns
             if any(_value(results, case, pooler, column[0]) is not None
                    for case in cases for pooler in poolers)]
    lines = ["| what | pooler | " + " | ".join(title for _, title, _ in shown) + " |",
             "| --- | --- |" + " ---: |" * len(shown)]
    for case in cases:
        for pooler in poolers:
            cells = []
            for figure, _, form in shown:
                value = _value(results, case, pooler, figure)
                cells.append("–" if value is None else form.format(value))
            first = case.title if pooler is poolers[0] else ""
            lines.append(f"| {first} | {pooler.title} | " + " | ".join(cells) + " |")
    return lines


def _value(results, case, pooler, figure):
    if figure.startswith("/"):
        return results.ratio(case, pooler, figure[1:])
    return results.median(case, pooler, figure)


def _notes(results):
    """Why there are no figures, where there are none."""
    lines = []
    for what, failures in (("nothing", results.failures), ("no system calls", results.incomplete)):
        reasons = {}
        for (name, title), why in failures.items():
            if what == "nothing" or (name, title) not in results.failures:
                reasons.setdefault((title, why), []).append(name)
        for (title, why), names in reasons.items():
            lines.append(f"- {title}: {what} for {', '.join(names)}: {why}.")
    return ["", *lines] if lines else []


def write(path, text):
    """Puts the report between the markers of a file, which is made if need be."""
    try:
        with open(path, encoding="utf-8") as file:
            old = file.read()
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        old = INTRO
    if BEGIN not in old or END not in old:
        old = old.rstrip() + f"\n\n{BEGIN}\n{END}\n"
    before, rest = old.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n{text}\n{END}{after}")
