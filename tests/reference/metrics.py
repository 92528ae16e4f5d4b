"""Makes metrics.json: what scikit-learn, scipy and plain definitions give for made-up scores and maps.

Made once, by hand:  python tests/reference/metrics.py
Needs numpy, scipy and scikit-learn; the versions used are noted in the file.
"""

import json
import math
import pathlib

import numpy as np
import scipy
import sklearn
from scipy import ndimage, stats
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    matthews_corrcoef,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from formula import uniform

HERE = pathlib.Path(__file__).parent


def ranking(index):
    """Two classes of 1 to 40 scores; every second case takes few values."""
    u = uniform(f"ranking {index}", 82)
    n, p = 1 + int(u[0] * 40), 1 + int(u[1] * 40)
    scores = np.concatenate([u[2 : 2 + n], u[42 : 42 + p] + 0.2])
    if index % 2 == 0:
        scores = np.floor(scores * 8) / 8
    labels = np.array([0] * n + [1] * p)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], 1e-300)
    inside = fpr <= 0.1
    x = np.append(fpr[inside], 0.1)
    y = np.append(tpr[inside], np.interp(0.1, fpr, tpr) if fpr.max() > 0.1 else tpr[-1])
    # At a vertical step np.interp takes its upper end only from the left; the limit is met from there.
    if (fpr == 0.1).any():
        y[-1] = tpr[inside][-1]
    called = scores > 0.5
    return [
        roc_auc_score(labels, scores),
        average_precision_score(labels, scores),
        f1.max(),
        fpr[tpr >= 0.95].min(),
        tpr[1 - fpr >= 0.9].max(),
        np.trapezoid(y, x) / 0.1,
        balanced_accuracy_score(labels, called),
        matthews_corrcoef(labels, called),
    ]


def made_up_maps(index):
    """Six maps of 24 x 24 with random blobs on four of them; every second case takes few values."""
    maps = uniform(f"maps {index}", 6 * 24 * 24).reshape(6, 24, 24)
    seeds = uniform(f"masks {index}", 6 * 24 * 24).reshape(6, 24, 24)
    masks = ndimage.convolve((seeds > 0.985).astype(int), np.ones((1, 3, 3), int), mode="constant") > 0
    masks[4:] = False
    maps = (maps + 0.4 * masks).astype(np.float32)
    if index % 2 == 0:
        maps = (np.floor(maps * 16) / 16).astype(np.float32)
    return maps, masks


def aupro(maps, masks, limit):
    """Every threshold, by the definition."""
    regions = []
    for number, mask in enumerate(masks):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [np.sort(maps[number][labels == region]) for region in range(1, count + 1)]
    normal = np.sort(maps[~masks])
    curve = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        share = lambda values: 1 - np.searchsorted(values, threshold) / len(values)
        curve.append((share(normal), np.mean([share(region) for region in regions])))
    x, y = np.array(curve).T
    last = np.searchsorted(x, limit, side="right")
    ends = np.interp(limit, x[last - 1 : last + 1], y[last - 1 : last + 1])
    return np.trapezoid(np.append(y[:last], ends), np.append(x[:last], limit)) / limit


def dice(maps, masks, threshold):
    called = maps > threshold
    return 2 * (called & masks).sum() / (called.sum() + masks.sum())


def localisation(index):
    maps, masks = made_up_maps(index)
    flat, truth = maps.ravel(), masks.ravel()
    thresholds = np.unique(flat)
    best = max(2 * ((flat >= t) & truth).sum() / ((flat >= t).sum() + truth.sum()) for t in thresholds)
    return [
        roc_auc_score(truth, flat),
        average_precision_score(truth, flat),
        aupro(maps, masks, 0.3),
        aupro(maps, masks, 0.05),
        best,
        dice(maps, masks, np.float32(0.75)),
    ]


def pimo():
    """24 normal maps of 128 x 128 and three with a square; by the definition."""
    normal = np.sort(uniform("pimo normal", 24 * 128 * 128).astype(np.float32))[::-1]
    points = []
    for k in range(1, len(normal)):
        if normal[k] < normal[k - 1] and 1e-5 <= k / len(normal) <= 1e-4:
            points.append((math.log(k / len(normal)), normal[k - 1]))
    x = np.array([point[0] for point in points])
    low, high = math.log(1e-5), math.log(1e-4)
    areas = []
    for number in range(3):
        values = uniform(f"pimo anomalous {number}", 128 * 128).reshape(128, 128)
        inside = (values[20:40, 30:60] * 0.2 * (number + 1) + 0.6).astype(np.float32)
        y = np.array([(inside >= threshold).mean() for _, threshold in points])
        area = np.trapezoid(np.concatenate([y[:1], y, y[-1:]]), np.concatenate([[low], x, [high]]))
        areas.append(area / (high - low))
    return areas, len(points)


def tests(index):
    """Paired samples of 6 to 20 differences, every second with ties."""
    n = 6 + index % 15
    differences = uniform(f"pairs {index}", n) - 0.35
    if index % 2 == 0:
        differences = np.round(differences * 10) / 10
    differences = differences[differences != 0]
    exact = len(np.unique(np.abs(differences))) == len(differences)
    result = stats.wilcoxon(differences, method="exact" if exact else "auto")
    return [float(result.statistic), float(result.pvalue) if exact else None]


areas, n_points = pimo()
versions = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}
made = {
    "versions": versions,
    "ranking": [[float(value) for value in ranking(index)] for index in range(1000)],
    "localisation": [[float(value) for value in localisation(index)] for index in range(12)],
    "pimo": {"aupimo": [float(area) for area in areas], "n_points": n_points},
    "wilcoxon": [tests(index) for index in range(60)],
}
lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in made.items())
(HERE / "metrics.json").write_text("{" + lines + "}\n")
