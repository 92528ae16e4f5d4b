"""D2-4FAD in plain PyTorch, as its published procedure does it: the reference that medfsad is timed against.

The procedure's waste is kept. Training differentiates the frozen teacher and runs it anew in every step,
also on the supports, one support after another, and writes the supports' outputs into preallocated tensors.
Scoring encodes the supports again for every batch of queries, repeated once for each of them.
On a card it is what a user of PyTorch would run: pictures come from pinned memory in every step, every loss is read,
and maps are smoothed on the host. The clock starts and stops with the card idle.

Weights and pictures follow a formula over their names, so that both sides compute the same losses and maps.
medfsad starts this program and asks by lines on its standard input; every answer is a line of JSON:
    train K BATCH REPEATS                   each step and its loss
    score K BATCH REPEATS                   each batch's maps and their mean
    epoch K BATCH N_TRAIN N_TEST REPEATS    each epoch of training and scoring, its last loss and last batch's mean
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
from scipy.stats import rankdata
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
    def __init__(self, backbone, size, device="cpu", precision="f32"):
        counts, inner = BACKBONES[backbone]
        self.device, self.precision = torch.device(device), precision
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "f32"
        self.size, self.channels = size, [planes * (4 if inner else 1) for planes in (64, 128, 256, 512)]
        self.encoder, self.decoder = Encoder(counts, inner), Decoder(counts, inner)
        self.weight = Weighting(self.channels)
        for module, prefix in ((self.encoder, "encoder."), (self.decoder, "decoder."), (self.weight, "weight.")):
            fill(module, prefix)
        self.start = [{n: t.clone() for n, t in m.state_dict().items()} for m in (self.decoder, self.weight)]
        for module in (self.encoder, self.decoder, self.weight):
            module.to(self.device)
        self.encoder.eval()
        self.optimiser = None

    def reset(self):
        for module, state in zip((self.decoder, self.weight), self.start):
            module.load_state_dict(state)
        for module in (self.encoder, self.decoder, self.weight):
            module.zero_grad()
        parameters = list(self.decoder.parameters()) + list(self.weight.parameters())
        self.optimiser = torch.optim.Adam(parameters, lr=1e-4, betas=(0.5, 0.999))

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def to_device(self, *pictures):
        return [tensor.to(self.device, non_blocking=True) for tensor in pictures]

    def encode_supports(self, supports):
        """Supports [K, B, 3, S, S], one after another, into preallocated tensors."""
        k, b = supports.shape[:2]
        outputs = []
        for scale in range(3):
            side = self.size // 4 // 2**scale
            outputs.append(torch.zeros(k, b, self.channels[scale], side, side, device=self.device))
        for index in range(k):
            _, deep = self.encoder(supports[index])
            for scale, decoded in enumerate(self.decoder(deep)):
                outputs[scale][index] = decoded
        return outputs

    def train_step(self, queries, supports):
        """One step of the published training; the loss before it."""
        self.decoder.train()
        self.weight.train()
        queries, supports = self.to_device(queries, supports)

        def distance(one, other):
            return (1 - F.cosine_similarity(one.reshape(len(one), -1), other.reshape(len(other), -1))).mean()

        with self.autocast():
            teacher, deep = self.encoder(queries)
            student = self.decoder(deep)
            weighted = self.weight(student, self.encode_supports(supports))
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
        queries, supports = self.to_device(queries, supports)
        total = numpy.zeros((len(queries), self.size, self.size), numpy.float32)
        with self.autocast():
            _, deep = self.encoder(queries)
            student = self.decoder(deep)
            repeated = supports.unsqueeze(1).repeat(1, len(queries), 1, 1, 1)
            weighted = self.weight(student, self.encode_supports(repeated))
            for one, other in zip(student, weighted):
                distance = (1 - F.cosine_similarity(one, other)).unsqueeze(1)
                maps = F.interpolate(distance, size=self.size, mode="bilinear", align_corners=True)
                total += maps[:, 0].cpu().numpy()
        return gaussian_filter(total, sigma=4), total


class Clock:
    """Requests, each a number of repeats of one kind of work; they answer seconds and values of each."""

    def __init__(self, model):
        self.model, self.on_card = model, model.device.type == "cuda"

    def host(self, name, count, distinct=None):
        """Pictures as a data loader hands them over; beyond the distinct ones they come again."""
        found = pictures(name, min(count, distinct or count), self.model.size)
        found = found if len(found) == count else found[torch.arange(count) % len(found)]
        return found.pin_memory() if self.on_card else found

    def synchronise(self):
        if self.on_card:
            torch.cuda.synchronize(self.model.device)

    def repeat(self, repeats, work):
        """`work` returns a list of values."""
        self.model.reset()
        if self.on_card:
            torch.cuda.reset_peak_memory_stats(self.model.device)
        seconds, values = [], []
        for _ in range(repeats):
            self.synchronise()
            start = time.perf_counter()
            found = work()
            self.synchronise()
            seconds.append(time.perf_counter() - start)
            values += [float(numpy.asarray(value, numpy.float64).mean()) for value in found]
        memory = torch.cuda.max_memory_allocated(self.model.device) if self.on_card else None
        return {"seconds": seconds, "values": values, "memory": memory}

    def train(self, k, batch, repeats):
        queries, supports = self.host("image.query", batch), self.host("image.support", k * batch)
        supports = supports.view(k, *queries.shape)
        return self.repeat(repeats, lambda: [self.model.train_step(queries, supports)])

    def score(self, k, batch, repeats):
        queries, supports = self.host("image.query", batch), self.host("image.support", k)
        return self.repeat(repeats, lambda: [self.model.score(queries, supports)[1]])

    def epoch(self, k, batch, n_train, n_test, repeats):
        """Each step's supports are the next steps' queries, so that they lie ready as a loader would have them."""
        steps = n_train // batch
        pool = self.host("image.query", (steps + k) * batch, 256).unflatten(0, (steps + k, batch))
        tested, supports = self.host("image.query", n_test, 256), self.host("image.support", k)

        def work():
            for step in range(steps):
                loss = self.model.train_step(pool[step], pool[step + 1 : step + 1 + k])
            for queries in tested.split(batch):
                _, raw = self.model.score(queries, supports)
            return [loss, raw]

        return self.repeat(repeats, work)

    def cell(self, k, batch, n_train, n_test, epochs):
        """As the published script: the test set after every epoch, anomalous pictures first, in batches of 16 of which an
        incomplete last one is dropped; the best epoch on it counts."""
        steps = n_train // batch
        pool = self.host("image.query", (steps + k) * batch, 256).unflatten(0, (steps + k, batch))
        tested, supports = self.host("image.query", n_test, 256), self.host("image.support", k)

        def work():
            best = 0.0
            for _ in range(epochs):
                for step in range(steps):
                    self.model.train_step(pool[step], pool[step + 1 : step + 1 + k])
                whole = [queries for queries in tested.split(16) if len(queries) == 16]
                smoothed = numpy.concatenate([self.model.score(queries, supports)[0] for queries in whole])
                scores = smoothed.reshape(len(smoothed), -1).max(1)
                best = max(best, auroc(scores, numpy.arange(len(scores)) < n_test // 2))
            return [best]

        return self.repeat(1, work)


def auroc(scores, anomalous):
    ranks, n = rankdata(scores), int(anomalous.sum())
    return (ranks[anomalous].sum() - n * (n + 1) / 2) / (n * (len(scores) - n))


def say(**answer):
    print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser(description="times plain PyTorch; started by medfsad bench-speed")
    parser.add_argument("--backbone", choices=BACKBONES, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="f32")
    parser.add_argument("--flush-subnormals", action="store_true", help="compute with zero for subnormal numbers")
    args = parser.parse_args()
    on_card = args.device.startswith("cuda")
    if args.precision == "tf32" and not on_card:
        parser.error("--precision tf32 exists on CUDA alone")
    # Before any thread is started: they have the control register of the one that starts them.
    if args.flush_subnormals and not torch.set_flush_denormal(True):
        parser.error("this processor cannot flush subnormal numbers")
    torch.set_num_threads(args.threads)
    torch.backends.mkldnn.enabled = True
    clock = Clock(Model(args.backbone, args.size, args.device, args.precision))
    say(
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
        scipy=scipy.__version__,
        device=torch.cuda.get_device_name(args.device) if on_card else "cpu",
        cudnn=torch.backends.cudnn.version() if on_card else None,
    )
    for line in sys.stdin:
        match [int(word) if word.isdecimal() else word for word in line.split()]:
            case ["train", int(k), int(batch), int(repeats)]:
                say(**clock.train(k, batch, repeats))
            case ["score", int(k), int(batch), int(repeats)]:
                say(**clock.score(k, batch, repeats))
            case ["epoch", int(k), int(batch), int(n), int(n_test), int(repeats)] if n >= batch and n_test > 0:
                say(**clock.epoch(k, batch, n, n_test, repeats))
            case ["cell", int(k), int(batch), int(n), int(n_test), int(epochs)] if n >= batch and n_test >= 32:
                say(**clock.cell(k, batch, n, n_test, epochs))
            case _:
                say(error=f"no such request: {line.strip()}")


if __name__ == "__main__":
    main()
