"""AUROC under every choice of evaluation, from maps by scipy: curve.json.

Needs numpy and scipy. Run it in this folder.
"""

import itertools
import json

import numpy
from scipy.ndimage import gaussian_filter
from scipy.stats import mannwhitneyu, rankdata

SIDE, ANOMALOUS, N, BATCH = 24, 15, 37, 16
METHODS, SEEDS = ["trained", "untrained", "scores"], [1, 2]


def maps(method, seed, best):
    """The maps of tests/report/curve.rs: noise by a formula, and a spot in anomalous ones, which come first."""
    y, x = numpy.mgrid[:SIDE, :SIDE]
    stack = []
    for k in range(N):
        a = k * 7919 + seed * 31 + best * 17 + method * 101
        noise = (a + y * 104729 + x * 1299709 + y * x * (k + 3)) % 1009 / 1009
        strength = [1.2, 0.8][method] + 0.3 * best
        spot = (abs(y - k % SIDE) < 3) & (abs(x - 5 * k % SIDE) < 2)
        stack.append(noise + spot * (strength * ((k * 13 + seed) % 7) / 6 if k < ANOMALOUS else 0.1 * (k % 4)))
    return numpy.stack(stack).astype(numpy.float32).astype(numpy.float64)


def score(k, seed):
    return (k * 37 + seed * 5) % 41 / 41 + (0.35 if k < ANOMALOUS else 0)


def smoothed(stack, smoothing, kept):
    if smoothing == "sigma 4, over batches":
        return numpy.concatenate([gaussian_filter(stack[at : min(at + BATCH, kept)], 4.0) for at in range(0, kept, BATCH)])
    sigma = float(smoothing.split()[1])
    return numpy.stack([gaussian_filter(one, sigma) if sigma else one for one in stack])[:kept]


def reduced(stack, how):
    flat = stack.reshape(len(stack), -1)
    if how == "maximum":
        return flat.max(1)
    if how == "mean":
        return flat.mean(1)
    return numpy.sort(flat, axis=1)[:, -max(1, flat.shape[1] // 100) :].mean(1)


def auroc(values):
    a, b = values[:ANOMALOUS], values[ANOMALOUS:]
    return mannwhitneyu(a, b).statistic / len(a) / len(b)


def value(method, seed, epoch, smoothing, reduction, batch, size):
    kept = N if batch == "last batch kept" else N - N % BATCH
    if method == 2:
        return auroc(numpy.array([score(k, seed) for k in range(kept)]))
    stack = maps(method, seed, int(epoch == "best epoch" and method == 0))
    if size == "maps of half the size":
        stack = stack.reshape(N, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    return auroc(reduced(smoothed(stack, smoothing, kept), reduction))


rows = []
for choice in itertools.product(
    ["last epoch", "best epoch"],
    ["sigma 0", "sigma 2", "sigma 4", "sigma 8", "sigma 4, over batches"],
    ["maximum", "mean", "top 1 %"],
    ["last batch kept", "last batch dropped"],
    ["maps as they are", "maps of half the size"],
):
    of_seed = [[value(method, seed, *choice) for method in range(3)] for seed in SEEDS]
    for name, aurocs in [("first seed", of_seed[0]), ("mean over seeds", numpy.mean(of_seed, axis=0))]:
        for method, auc, rank in zip(METHODS, aurocs, rankdata(-numpy.round(aurocs, 12))):
            rows.append([*choice, name, method, round(float(auc), 12), float(rank)])
with open("curve.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
