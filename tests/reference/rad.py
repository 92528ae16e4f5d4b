"""RAD's distances and scores of given tokens: vit/rad.json.

Needs anomalib 2.7.0 and torch 2.11.0. Run it in this folder. Distances are anomalib's; it blurs maps with reflected borders, the
authors (longkukuhi/RAD, utils.py) with nothing beyond them, which is computed here by PyTorch's convolution.
"""

import json

import numpy
import torch
from anomalib.models.image.rad.torch_model import RadModel
from formula import uniform
from torch.nn import functional

NORMALS, QUERIES, WIDTH, SIDE, LAYERS = 3, 2, 16, 6, 4

torch.set_default_dtype(torch.float64)


def tensor(name, shape):
    values = 2 * uniform("rad." + name, int(numpy.prod(shape))) - 1
    return torch.from_numpy(values.astype(numpy.float32).astype(numpy.float64)).reshape(shape)


def layers(what, n):
    patches = [tensor(f"{what}.patches{layer}", (n, SIDE**2, WIDTH)) for layer in range(LAYERS)]
    # Not around nothing, so that cosines differ as those of real tokens do.
    return [(patch + 0.5, tensor(f"{what}.class{layer}", (n, WIDTH)) + 0.5) for layer, patch in enumerate(patches)]


def distances(neighbours, radius, positional):
    model = RadModel.__new__(RadModel)
    torch.nn.Module.__init__(model)
    model.layers = list(range(LAYERS))
    model.k_image, model.pos_radius, model.use_positional_bank = neighbours, radius, positional
    model._layer_weights = [1 / LAYERS] * LAYERS
    model._neighborhood_plans = {}
    normals, queries = layers("normals", NORMALS), layers("queries", QUERIES)
    normal = functional.normalize
    model.bank_grid = torch.tensor([SIDE, SIDE])
    model.cls_banks = torch.stack([normal(token, dim=-1) for _, token in normals])
    model.patch_banks = torch.stack([normal(patches, dim=-1).transpose(0, 1) for patches, _ in normals])
    alike = normal(queries[-1][1], dim=-1) @ model.cls_banks[-1].T
    nearest = torch.topk(alike, min(neighbours, NORMALS), dim=-1).indices
    return model._compute_patch_scores([patches for patches, _ in queries], nearest, (SIDE, SIDE))


out = {"what": __doc__.splitlines()[0], "cases": []}
for neighbours, radius, positional in [(3, 1, True), (2, 1, True), (1, 2, True), (3, 0, True), (2, 1, False)]:
    found = distances(neighbours, radius, positional)
    case = {"neighbours": neighbours, "radius": radius, "everywhere": not positional}
    out["cases"].append({**case, "distances": found.reshape(-1).tolist()})

found = distances(3, 1, True).reshape(QUERIES, 1, SIDE, SIDE)
large = functional.interpolate(found, size=256, mode="bilinear", align_corners=False)
row = torch.exp(-((torch.arange(5, dtype=torch.float32) - 2) ** 2) / 2)
kernel = torch.outer(row, row)
kernel = (kernel / kernel.sum()).double()
blurred = functional.conv2d(large, kernel[None, None], padding=2).flatten(1)
out["scores"] = blurred.sort(dim=1, descending=True)[0][:, : int(256 * 256 * 0.01)].mean(1).tolist()

with open("vit/rad.json", "w") as file:
    json.dump(out, file)
    file.write("\n")
