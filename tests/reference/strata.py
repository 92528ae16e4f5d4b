"""AUROC by finding, view and site with scipy, and the score interval from its definition: strata.json.

Needs numpy and scipy. Run it in this folder.
"""

import json

import numpy
from scipy.optimize import brentq
from scipy.stats import mannwhitneyu, t

N, DRAWS, LEAST, PRIOR = 150, 2, 10, 4.0
FINDINGS = [(60, "no DR", 0.0), (90, "mild", 0.2), (130, "moderate", 0.5), (145, "severe", 0.9), (150, "proliferative", 1.2)]


def finding(i):
    return next((name, shift) for end, name, shift in FINDINGS if i < end)


def score(i, draw):
    # Fifths tie, so that ties count too.
    return ((i * 7919 + draw * 104729 + 13) % 1009) // 5 / 200 + finding(i)[1] * (1 - 0.05 * draw)


def group(i):
    return f"p{i % 50}" if i < 100 else f"alone {i}"


def view(i):
    return ["AP", "PA", "not stated"][i % 3]


def site(i):
    return "site 1" if i % 10 == 0 else "site 2"


def interval(normal, anomalous):
    """Newcombe's method 5 with measured variances of pictures and draws, as src/metric/auroc_interval.rs defines it."""
    values, kernels = [], []
    for draw in range(DRAWS):
        a = numpy.array([score(i, draw) for i in anomalous])[:, None]
        b = numpy.array([score(i, draw) for i in normal])[None, :]
        kernels.append((a > b) + 0.5 * (a == b))
        values.append(kernels[-1].mean())
    kernel = numpy.mean(kernels, axis=0)
    value = kernel.mean()
    shares = {**dict(zip(anomalous, kernel.mean(1))), **dict(zip(normal, kernel.mean(0)))}
    units = {}
    for i in [*normal, *anomalous]:
        units.setdefault(group(i), [[], []])[int(i in anomalous)].append(i)
    sizes = [len(normal), len(anomalous)]
    parts = [[sum(shares[i] - value for i in unit[c]) / sizes[c] if unit[c] else None for c in (0, 1)] for unit in units.values()]
    n = [sum(part[c] is not None for part in parts) for c in (0, 1)]
    squares = [sum(part[c] ** 2 for part in parts if part[c] is not None) for c in (0, 1)]
    both = sum(part[0] * part[1] for part in parts if None not in part)
    variance = sum(n[c] / (n[c] - 1) * squares[c] for c in (0, 1)) + 2 * len(parts) / (len(parts) - 1) * both
    telling = min(sum(0 < shares[i] < 1 for i in side) for side in (normal, anomalous))

    def hanley_mcneil(at):
        others = (n[0] + n[1]) / 2 - 1
        return at * (1 - at) * (1 + others * ((1 - at) / (2 - at) + at / (1 + at))) / (n[0] * n[1])

    ratio = (telling * max(variance, 0) / hanley_mcneil(value) + PRIOR) / (telling + PRIOR)
    of_draws = numpy.var(values, ddof=1) / DRAWS

    def reach(at):
        rescaled = min(at * (1 - at) / (value * (1 - value)), 8.0)
        pictures = t.ppf(0.975, min(n) - 1) ** 2 * ratio * hanley_mcneil(at)
        return (pictures + t.ppf(0.975, DRAWS - 1) ** 2 * of_draws * rescaled**2) ** 0.5

    def furthest(limit, sign):
        off = lambda distance: distance - reach(value + sign * distance)
        return limit if off(limit) <= 0 else brentq(off, 0, limit, xtol=1e-14)

    return value - furthest(value, -1), value + furthest(1 - value, 1)


def stratum(by, name, kept):
    normal = [i for i in kept if i < 60]
    anomalous = [i for i in kept if i >= 60]
    row = {"by": by, "stratum": name, "n_normal": len(normal), "n_anomalous": len(anomalous)}
    if min(len(normal), len(anomalous)) < LEAST:
        return row | {"note": "too small"}
    draws = [
        mannwhitneyu([score(i, d) for i in anomalous], [score(i, d) for i in normal]).statistic / len(normal) / len(anomalous)
        for d in range(DRAWS)
    ]
    low, high = interval(normal, anomalous)
    return row | {"auroc": float(numpy.mean(draws)), "low": float(low), "high": float(high)}


strata = [stratum("finding", name, [i for i in range(N) if i < 60 or finding(i)[0] == name]) for _, name, _ in FINDINGS[1:]]
strata += [stratum("view", name, [i for i in range(N) if view(i) == name]) for name in ("AP", "PA", "not stated")]
strata += [stratum("site", name, [i for i in range(N) if site(i) == name]) for name in ("site 1", "site 2")]
with open("strata.json", "w") as file:
    json.dump(strata, file, indent=1)
    file.write("\n")
