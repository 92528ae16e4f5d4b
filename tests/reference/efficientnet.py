"""Makes efficientnet.json: features of EfficientNet-Lite0 with formula weights, from the paper's plain definition.

Made once, by hand:  python tests/reference/efficientnet.py
Needs numpy; the version used is noted in the file. Weights and pictures follow `src/network/formula.rs`. Written from
arXiv 1905.11946 and TensorFlow's rule for "same" padding, in double precision, without a deep learning library.
"""

import json
import math
import pathlib

import numpy as np

from formula import uniform

HERE = pathlib.Path(__file__).parent
N, SIDE = 2, 64
EPSILON = 1e-3
# Blocks, kernel, stride of the first, expansion, channels out.
GROUPS = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
NAMES = {0: "stem", 1: "quarter", 2: "eighth", 4: "sixteenth", 6: "deep"}


def single(values):
    return values.astype(np.float32).astype(np.float64)


def kernel(name, shape):
    n = math.prod(shape)
    u = uniform("encoder." + name + ".weight", n)
    return single((2 * u - 1) * math.sqrt(3 / (n / shape[0]))).reshape(shape)


def convolved(x, name, c_out, size, stride, depthwise=False):
    weight = kernel(name, (c_out, 1 if depthwise else x.shape[1], size, size))
    given = [-(-side // stride) for side in x.shape[2:]]
    pads = [max((out - 1) * stride + size - side, 0) for out, side in zip(given, x.shape[2:])]
    x = np.pad(x, [(0, 0), (0, 0)] + [(pad // 2, pad - pad // 2) for pad in pads])
    y = np.zeros((x.shape[0], c_out, *given))
    for i in range(size):
        for j in range(size):
            seen = x[:, :, i : i + stride * (given[0] - 1) + 1 : stride, j : j + stride * (given[1] - 1) + 1 : stride]
            tap = weight[:, :, i, j]
            y += seen * tap[:, 0][None, :, None, None] if depthwise else np.einsum("oc,nchw->nohw", tap, seen)
    return y


def normed(x, name):
    u = {part: uniform(f"encoder.{name}.{part}", x.shape[1]) for part in ("weight", "bias", "running_mean", "running_var")}
    weight, variance = single(0.75 + 0.5 * u["weight"]), single(0.75 + 0.5 * u["running_var"])
    bias, mean = single((2 * u["bias"] - 1) * 0.1), single((2 * u["running_mean"] - 1) * 0.1)
    scale = weight / np.sqrt(variance + EPSILON)
    return (x - mean[:, None, None]) * scale[:, None, None] + bias[:, None, None]


def relu6(x):
    return np.clip(x, 0, 6)


def block(x, name, size, stride, expansion, c_out):
    y = x
    if expansion != 1:
        inside = expansion * x.shape[1]
        y = relu6(normed(convolved(y, name + "._expand_conv", inside, 1, 1), name + "._bn0"))
    y = relu6(normed(convolved(y, name + "._depthwise_conv", y.shape[1], size, stride, True), name + "._bn1"))
    y = normed(convolved(y, name + "._project_conv", c_out, 1, 1), name + "._bn2")
    return x + y if stride == 1 and x.shape[1] == c_out else y


def entry(name, x):
    flat = x.reshape(-1)
    index = [int((i + 0.5) * flat.size / 12) for i in range(12)]
    return {
        "name": name,
        "shape": list(x.shape),
        "mean": float(flat.mean()),
        "std": float(flat.std()),
        "sample_index": index,
        "sample": [float(flat[i]) for i in index],
    }


pictures = single(uniform("image.lite", N * 3 * SIDE * SIDE)).reshape(N, 3, SIDE, SIDE)
x = (pictures * 255 - 127) / 128
x = relu6(normed(convolved(x, "_conv_stem", 32, 3, 2), "_bn0"))
entries, number = [], 0
for group, (count, size, stride, expansion, c_out) in enumerate(GROUPS):
    for index in range(count):
        x = block(x, f"_blocks.{number}", size, stride if index == 0 else 1, expansion, c_out)
        number += 1
    if group in NAMES:
        entries.append(entry(NAMES[group], x))
origin = {"script": "tests/reference/efficientnet.py", "numpy": np.__version__, "n": N, "side": SIDE}
lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
(HERE / "efficientnet.json").write_text('{"origin":%s,\n"entries":[\n%s\n]}\n' % (json.dumps(origin), lines))
