"""Runs the cases: in each round every pooler has its turn, and the order changes."""

import statistics
import time

from machine import Failed, say


class Rounds:
    """The poolers, and what was measured: `figures[case.name][pooler.title]`, one entry for each round."""

    def __init__(self, poolers, rounds):
        self.poolers = poolers
        self.rounds = rounds
        self.figures = {}
        #: Why there is nothing for a case and a pooler, or something is missing.
        self.failures = {}
        self.incomplete = {}
        #: What the others are compared with: the first of these that a case has figures for.
        self.bases = [pooler for pooler in poolers if pooler.is_pgbouncer] or poolers[:1]

    def run(self, cases, context):
        for case in cases:
            began = time.monotonic()
            context.cluster.settle()
            for number in range(case.rounds or self.rounds):
                turn = number % len(self.poolers)
                for pooler in self.poolers[turn:] + self.poolers[:turn]:
                    self._one(case, pooler, case.measure, context, number, self.failures)
            if case.once:
                for pooler in self.poolers:
                    self._one(case, pooler, case.once, context, 0, self.incomplete)
            say(f"{case.name:22} {time.monotonic() - began:5.1f} s   {self._glance(case)}")
        return self

    def _one(self, case, pooler, measure, context, number, failures):
        key = (case.name, pooler.title)
        if key in self.failures:
            return
        if not case.can(pooler):
            failures[key] = "prepared statements do not follow clients before 1.21"
            return
        try:
            instance = pooler.instance(case.auth) if case.auth else None
            figures = measure(context, pooler, instance)
        except (Failed, OSError) as why:
            failures[key] = str(why)
            say(f"{case.name}: {pooler.title}: {why}")
            return
        rounds = self.figures.setdefault(case.name, {}).setdefault(pooler.title, [])
        while len(rounds) <= number:
            rounds.append({})
        rounds[number].update(figures)

    def median(self, case, pooler, figure):
        """The median over the rounds; None if there is none."""
        rounds = self.figures.get(case.name, {}).get(pooler.title, [])
        values = [found[figure] for found in rounds if figure in found]
        return statistics.median(values) if values else None

    def ratio(self, case, pooler, figure):
        """The median of the rounds' ratios to PgBouncer: what a round is disturbed by, disturbs both."""
        base = self.base(case)
        if base is None or base is pooler:
            return None
        ours = self.figures[case.name].get(pooler.title, [])
        theirs = self.figures[case.name][base.title]
        ratios = [a[figure] / b[figure] for a, b in zip(ours, theirs)
                  if figure in a and b.get(figure)]
        return statistics.median(ratios) if ratios else None

    def base(self, case):
        """What the others are compared with in a case."""
        found = self.figures.get(case.name, {})
        return next((pooler for pooler in self.bases if pooler.title in found), None)

    def _glance(self, case):
        figure = "idle" if case.group == "idle" else "cpu"
        parts = []
        for pooler in self.poolers:
            value = self.median(case, pooler, figure)
            parts.append(f"{pooler.title} " + ("-" if value is None else f"{value:.2f}"))
        return f"{figure}: " + ", ".join(parts)
