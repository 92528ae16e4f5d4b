"""D2-4FAD in plain PyTorch, as its published procedure does it: the reference that medfsad is timed against.

The procedure's waste is kept. Training differentiates the frozen teacher and runs it anew in every step,
also on the supports, one support after another, and writes the supports' outputs into preallocated tensors.
Scoring encodes the supports again for every batch of queries, repeated once for each of them.

Weights and pictures follow a formula over their names, so that both sides compute the same losses and maps.
medfsad starts this program and asks by lines on its standard input; every answer is a line of JSON.
"""

import argparse
import json
import platform
import sys
import time

import numpy
import scipy
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import nn

# Blocks per stage, and the inner width of bottlenecks over their planes (None: two plain 3x3).
BACKBONES = {
    "resnet18": ([2, 2, 2, 2], None),
    "resnet34": ([3, 4, 6, 3], None),
    "resnet50": ([3, 4, 6, 3], 1),
    "wide_resnet50_2": ([3, 4, 6, 3], 2),
}


def uniform(name, n):
    """n numbers in [0, 1): FNV-1a of the name, then SplitMix64."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = ((start ^ byte) * 0x100000001B3) % 2**64
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(start) + numpy.arange(1, n + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z ^= z >> numpy.uint64(31)
    return (z >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-53


def fill(module, prefix):
    """Every parameter and buffer from the formula of its name."""
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        u = uniform(prefix + name, tensor.numel())
        if name.endswith("running_var"):
            values = 0.75 + 0.5 * u
        elif name.endswith("running_mean"):
            values = (2 * u - 1) * 0.1
        elif tensor.dim() >= 2:
            values = (2 * u - 1) * (3 / (tensor.numel() / tensor.shape[0])) ** 0.5
        elif name.endswith("weight"):
            values = 0.75 + 0.5 * u
        else:
            values = (2 * u - 1) * 0.1
        tensor.copy_(torch.from_numpy(values).float().view(tensor.shape))


def pictures(name, count, size):
    values = uniform(name, count * 3 * size * size)
    return torch.from_numpy(values).float().view(count, 3, size, size)


class Block(nn.Module):
    """Two or three convolutions round a skip; `doubling` blocks of the decoder double height and width."""

    def __init__(self, inner, c_in, planes, stride=1, doubling=False, decoder=False):
        super().__init__()
        c_out = planes * (4 if inner else 1)

        def spatial(a, b):
            if doubling:
                return nn.ConvTranspose2d(a, b, 2, 2, bias=False)
            return nn.Conv2d(a, b, 3, stride, 1, bias=False)

        if inner:
            width = inner * planes
            self.conv1, self.bn1 = nn.Conv2d(c_in, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = spatial(width, width), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, c_out, 1, bias=False), nn.BatchNorm2d(c_out)
        else:
            self.conv1, self.bn1 = spatial(c_in, planes), nn.BatchNorm2d(planes)
            self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False), nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.skip = None
        if doubling:
            self.skip = "upsample"
            self.upsample = nn.Sequential(nn.ConvTranspose2d(c_in, c_out, 2, 2, bias=False), nn.BatchNorm2d(c_out))
        elif not decoder and (stride != 1 or c_in != c_out):
            self.skip = "downsample"
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if hasattr(self, "conv3"):
            y = self.bn3(self.conv3(self.relu(y)))
        y += getattr(self, self.skip)(x) if self.skip else x
        return self.relu(y)


def stage(inner, c_in, planes, count, stride=1, decoder=False):
    blocks = [Block(inner, c_in, planes, stride, doubling=decoder, decoder=decoder)]
    c_in = planes * (4 if inner else 1)
    blocks += [Block(inner, c_in, planes, decoder=decoder) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


class Encoder(nn.Module):
    def __init__(self, counts, inner):
        super().__init__()
        scale = 4 if inner else 1
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(inner, 64, 64, counts[0])
        self.layer2 = stage(inner, 64 * scale, 128, counts[1], 2)
        self.layer3 = stage(inner, 128 * scale, 256, counts[2], 2)
        self.layer4 = stage(inner, 256 * scale, 512, counts[3], 2)

    def forward(self, x):
        first = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        second = self.layer2(first)
        third = self.layer3(second)
        return [first, second, third], self.layer4(third)


class Decoder(nn.Module):
    def __init__(self, counts, inner):
        super().__init__()
        scale = 4 if inner else 1
        self.layer1 = stage(inner, 512 * scale, 256, counts[0], decoder=True)
        self.layer2 = stage(inner, 256 * scale, 128, counts[1], decoder=True)
        self.layer3 = stage(inner, 128 * scale, 64, counts[2], decoder=True)

    def forward(self, deep):
        third = self.layer1(deep)
        second = self.layer2(third)
        return [self.layer3(second), second, third]


class Weighting(nn.Module):
    def __init__(self, channels):
        super().__init__()
        for scale in range(3):
            setattr(self, f"proj_in{scale + 1}", nn.Conv2d(channels[scale], channels[scale], 1))

    def forward(self, queries, supports):
        """Queries [B, C, H, W] and supports [K, B, C, H, W], per scale."""
        weighted = []
        for scale, (query, support) in enumerate(zip(queries, supports)):
            k, b, c, h, w = support.shape
            keys = getattr(self, f"proj_in{scale + 1}")(support.reshape(k * b, c, h, w)).reshape(k, b, -1)
            logits = (query.reshape(1, b, -1) * keys).sum(2) / c**0.5
            weights = logits.softmax(0).view(k, b, 1, 1, 1)
            weighted.append((weights * support).sum(0))
        return weighted


class Model:
    def __init__(self, backbone, size):
        counts, inner = BACKBONES[backbone]
        self.size, self.channels = size, [planes * (4 if inner else 1) for planes in (64, 128, 256, 512)]
        self.encoder, self.decoder = Encoder(counts, inner), Decoder(counts, inner)
        self.weight = Weighting(self.channels)
        for module, prefix in ((self.encoder, "encoder."), (self.decoder, "decoder."), (self.weight, "weight.")):
            fill(module, prefix)
        self.start = [{n: t.clone() for n, t in m.state_dict().items()} for m in (self.decoder, self.weight)]
        self.encoder.eval()
        self.optimiser = None

    def reset(self):
        for module, state in zip((self.decoder, self.weight), self.start):
            module.load_state_dict(state)
        parameters = list(self.decoder.parameters()) + list(self.weight.parameters())
        self.optimiser = torch.optim.Adam(parameters, lr=1e-4, betas=(0.5, 0.999))

    def encode_supports(self, supports):
        """Supports [K, B, 3, S, S], one after another, into preallocated tensors."""
        k, b = supports.shape[:2]
        outputs = []
        for scale in range(3):
            side = self.size // 4 // 2**scale
            outputs.append(torch.zeros(k, b, self.channels[scale], side, side))
        for index in range(k):
            _, deep = self.encoder(supports[index])
            for scale, decoded in enumerate(self.decoder(deep)):
                outputs[scale][index] = decoded
        return outputs

    def train_step(self, queries, supports):
        """One step of the published training; the loss before it."""
        self.decoder.train()
        self.weight.train()
        teacher, deep = self.encoder(queries)
        student = self.decoder(deep)
        weighted = self.weight(student, self.encode_supports(supports))

        def distance(one, other):
            return (1 - F.cosine_similarity(one.reshape(len(one), -1), other.reshape(len(other), -1))).mean()

        taught = sum(distance(a, b) for a, b in zip(teacher, student))
        own = sum(distance(a, b) for a, b in zip(student, weighted))
        loss = own + 0.1 * taught
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    @torch.no_grad()
    def score(self, queries, supports):
        """Smoothed maps of one batch; supports [K, 3, S, S] are repeated for every query."""
        self.decoder.eval()
        self.weight.eval()
        _, deep = self.encoder(queries)
        student = self.decoder(deep)
        repeated = supports.unsqueeze(1).repeat(1, len(queries), 1, 1, 1)
        weighted = self.weight(student, self.encode_supports(repeated))
        total = numpy.zeros((len(queries), self.size, self.size), numpy.float32)
        for one, other in zip(student, weighted):
            distance = (1 - F.cosine_similarity(one, other)).unsqueeze(1)
            total += F.interpolate(distance, size=self.size, mode="bilinear", align_corners=True)[:, 0].numpy()
        return gaussian_filter(total, sigma=4), total


def say(**answer):
    print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser(description="times plain PyTorch; started by medfsad bench-speed")
    parser.add_argument("--backbone", choices=BACKBONES, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.mkldnn.enabled = True
    model = Model(args.backbone, args.size)
    say(python=platform.python_version(), torch=torch.__version__, numpy=numpy.__version__, scipy=scipy.__version__)
    for line in sys.stdin:
        word, k, batch, repeats = line.split()
        k, batch, repeats = int(k), int(batch), int(repeats)
        queries = pictures("image.query", batch, args.size)
        seconds, values = [], []
        if word == "train":
            supports = pictures("image.support", k * batch, args.size).view(k, batch, 3, args.size, args.size)
            model.reset()
            for _ in range(repeats):
                start = time.perf_counter()
                values.append(model.train_step(queries, supports))
                seconds.append(time.perf_counter() - start)
        else:
            supports = pictures("image.support", k, args.size)
            model.reset()
            for _ in range(repeats):
                start = time.perf_counter()
                _, raw = model.score(queries, supports)
                seconds.append(time.perf_counter() - start)
                values.append(float(raw.astype(numpy.float64).mean()))
        say(seconds=seconds, values=values)


if __name__ == "__main__":
    main()
