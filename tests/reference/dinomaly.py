"""Dinomaly's bottleneck, decoder, loss and steps as anomalib computes them: vit/dinomaly.json.

Needs anomalib 2.7.0 and torch 2.11.0. Run it in this folder. Two layers of the bottleneck and of each block have biases here,
as the authors' have; anomalib's own model leaves them out.
"""

import json
from functools import partial

import numpy
import torch
from anomalib.models.image.dinomaly.components import CosineHardMiningLoss, DinomalyMLP, StableAdamW
from anomalib.models.image.dinomaly.torch_model import DecoderViTBlock, DinomalyModel
from formula import uniform
from torch import nn

WIDTH, HEADS, BLOCKS, PREFIX, SIDE = 64, 4, 4, 5, 6
SHARE, RISE, DROPOUT = 0.9, 1000, 0.2
# Numbers of steps, by which the share of discounted positions rises.
STEPS = [0, 500, 2000]

torch.set_default_dtype(torch.float64)


def rounded(values, shape):
    return torch.from_numpy(values.astype(numpy.float32).astype(numpy.float64)).reshape(shape)


def parameter(name, shape):
    n = int(numpy.prod(shape))
    u = uniform("dinomaly." + name, n)
    if len(shape) >= 2:
        return rounded((2 * u - 1) * numpy.sqrt(3 / (n // shape[0])), shape)
    return rounded(0.75 + 0.5 * u if name.endswith("weight") else (2 * u - 1) * 0.1, shape)


def summary(tensor):
    flat = tensor.detach().reshape(-1)
    places = numpy.unique(numpy.linspace(0, flat.numel() - 1, 48).round().astype(int))
    return {
        "shape": list(tensor.shape),
        "mean": flat.mean().item(),
        "std": flat.std(unbiased=False).item(),
        "sample_index": places.tolist(),
        "sample": flat[places].tolist(),
    }


class Masked(nn.Module):
    """Dropout by given masks in training."""

    def __init__(self):
        super().__init__()
        self.step = None

    def forward(self, x):
        if not self.training:
            return x
        kept = uniform(f"dinomaly.kept.{self.step}.{self.calls}", x.numel()) >= DROPOUT
        self.calls += 1
        return x * torch.from_numpy(kept).reshape(x.shape) / (1 - DROPOUT)

    def at(self, step):
        self.step, self.calls = step, 0


bottleneck = DinomalyMLP(WIDTH, 4 * WIDTH, WIDTH, bias=True, apply_input_dropout=True)
bottleneck.drop = Masked()
norm = partial(nn.LayerNorm, eps=1e-8)
blocks = [DecoderViTBlock(WIDTH, HEADS, norm_layer=norm) for _ in range(BLOCKS)]
for block in blocks:
    block.mlp = DinomalyMLP(WIDTH, 4 * WIDTH, WIDTH, bias=True)
model = nn.ModuleDict({"bottleneck": nn.ModuleList([bottleneck]), "decoder": nn.ModuleList(blocks)})
parameters = dict(model.named_parameters())
for name, values in parameters.items():
    values.data = parameter(name, tuple(values.shape))

groups = [rounded(4 * uniform(f"dinomaly.tokens{i}", n := 2 * (PREFIX + SIDE**2) * WIDTH) - 2, (2, -1, WIDTH)) for i in (0, 1)]


def spatial(tokens):
    return tokens[:, PREFIX:].permute(0, 2, 1).reshape(2, WIDTH, SIDE, SIDE).contiguous()


def forward():
    narrowed = bottleneck((groups[0] + groups[1]) / 2)
    decoded, x = [], narrowed
    for block in blocks:
        x = block(x, attn_mask=None)
        decoded.append(x)
    backwards = decoded[::-1]
    half = BLOCKS // 2
    rebuilt = [torch.stack(part).mean(0) for part in (backwards[:half], backwards[half:])]
    return narrowed, decoded, [spatial(tokens) for tokens in groups], [spatial(tokens) for tokens in rebuilt]


def anomaly_map():
    model.eval()
    with torch.no_grad():
        _, _, en, de = forward()
        return DinomalyModel.calculate_anomaly_maps(en, de, 84)[0]


model.eval()
narrowed, decoded, en, de = forward()
out = {
    "what": __doc__.splitlines()[0],
    "params": {name: list(values.shape) for name, values in parameters.items()},
    "eval": {
        "bottleneck": summary(narrowed),
        "decoded": [summary(x) for x in decoded],
        "rebuilt": [summary(x) for x in de],
        "map_84": summary(anomaly_map()),
    },
}

loss_of = CosineHardMiningLoss(p_final=SHARE, p_schedule_steps=RISE, factor=0.1)
optimiser = StableAdamW(parameters.values(), lr=2e-3, betas=(0.9, 0.999), weight_decay=1e-4, amsgrad=True, eps=1e-8)
steps = []
for number in STEPS:
    model.train()
    bottleneck.drop.at(number)
    _, _, en, de = forward()
    loss = loss_of(en, de, global_step=number)
    optimiser.zero_grad()
    loss.backward()
    norms = {name: values.grad.norm().item() for name, values in parameters.items()}
    norm_of_all = nn.utils.clip_grad_norm_(parameters.values(), max_norm=0.1).item()
    optimiser.step()
    steps.append({"number": number, "share": loss_of.p, "loss": loss.item(), "norm": norm_of_all, "norms": norms})
    steps[-1]["map_after"] = summary(anomaly_map())
out["steps"] = steps

with open("vit/dinomaly.json", "w") as file:
    json.dump(out, file)
    file.write("\n")
