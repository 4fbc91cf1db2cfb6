"""From the reads and the looks to figures, and to the table of docs/chaos.md."""
from dataclasses import dataclass

SETTLING_S = 1.0  # the first second of a run is its start


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))] if sorted_values else float("nan")


@dataclass
class Span:
    """Reads of one kind in one phase."""
    count: int
    answered: int
    p50: float
    p99: float
    slowest: float
    errors: dict

    @property
    def share(self):
        return self.answered / self.count if self.count else float("nan")


class Outcome:
    def __init__(self, fault, reads_path, began, ended, looks):
        self.fault, self.began, self.ended, self.looks = fault, began, ended, looks
        self.reads = []
        for line in open(reads_path):
            due, kind, took, *error = line.split()
            self.reads.append((float(due), kind, float(took), error[0] if error else ""))
        self.first = self.reads[0][0] + SETTLING_S
        self.last = max(due for due, *_ in self.reads) + 0.001

    def bounds(self, phase):
        return {"before": (self.first, self.began), "during": (self.began, self.ended), "after": (self.ended, self.last)}[phase]

    def span(self, phase, kind):
        begin, end = self.bounds(phase)
        reads = [(took, error) for due, k, took, error in self.reads if k == kind and begin <= due < end]
        good = sorted(took for took, error in reads if not error)
        errors = {}
        for _, error in reads:
            if error:
                errors[error] = errors.get(error, 0) + 1
        slowest = max((took for took, _ in reads), default=float("nan"))
        return Span(len(reads), len(good), percentile(good, 0.5), percentile(good, 0.99), slowest, errors)

    def typical_p99(self, phase, kind):
        """Of most seconds: the median of each second's p99. A shared machine has seconds that are nobody's fault here."""
        begin, end = self.bounds(phase)
        seconds = {}
        for due, k, took, error in self.reads:
            if k == kind and begin <= due < end and not error:
                seconds.setdefault(int(due - begin), []).append(took)
        return percentile(sorted(percentile(sorted(took), 0.99) for took in seconds.values()), 0.5)

    def loads_per_second(self, phase):
        """Loads that left for the origin, a batch of ten is ten."""
        begin, end = self.bounds(phase)
        inside = [(at, origin["loads"]) for at, origin, _ in self.looks if begin <= at < end]
        if len(inside) < 2:
            return float("nan")
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])

    @property
    def in_flight_max(self):
        return max(origin["in_flight_max"] for _, origin, _ in self.looks)

    @property
    def was_said(self):
        begin, end = self.bounds("during")
        return any(self.fault.reason in degraded for at, _, degraded in self.looks if begin <= at < end)

    def left(self):
        """(when, what) after the end of the fault: what began with it and is left in `degraded`, and reads that fail."""
        before = set().union(*[set(d) for at, _, d in self.looks if at < self.began] or [set()])
        said = [(at - self.ended, reason) for at, _, degraded in self.looks for reason in set(degraded) - before]
        failed = [(due - self.ended, f"{kind}: {error}") for due, kind, _, error in self.reads if error]
        return sorted((at, what) for at, what in said + failed if at >= 0 and what not in self.fault.stays)

    @property
    def recovery_s(self):
        return max([0.0] + [at for at, _ in self.left()])


HEAD = ("| fault | lasted | reads | answered before / during / after | p50, ms | p99, ms | loads/s | recovered after |\n"
        "|---|---|---|---|---|---|---|---|\n")


def row(outcome):
    lines = []
    for i, kind in enumerate(dict.fromkeys(("hot", "aging", "watched", "cold", *outcome.fault.setting.reads))):
        spans = [outcome.span(phase, kind) for phase in ("before", "during", "after")]
        shares = " / ".join("100 %" if s.share == 1 else f"{100 * s.share:.2f} %" for s in spans)
        p50, p99 = (" / ".join("–" if getattr(s, which) != getattr(s, which) else f"{getattr(s, which):.1f}" for s in spans)
                    for which in ("p50", "p99"))
        first = i == 0
        loads = " / ".join(f"{outcome.loads_per_second(p):.0f}" for p in ("before", "during", "after")) if first else ""
        lasted = f"{outcome.ended - outcome.began:.0f} s" if first else ""
        recovered = f"{outcome.recovery_s:.1f} s" if first else ""
        lines.append(f"| {outcome.fault.name if first else ''} | {lasted} | {kind} | {shares} | {p50} | {p99} | {loads} | {recovered} |\n")
    return "".join(lines)
