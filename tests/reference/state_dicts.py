"""Makes state_zip.pth, state_legacy.pth, wrapped.pth, module.pth and script.pth: what PyTorch saves.

Made once, by hand:  python tests/reference/state_dicts.py
Needs torch 2.11.0. Values count up, so that a test knows them.
"""

import pathlib
from collections import OrderedDict

import torch

HERE = pathlib.Path(__file__).parent

layers = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
with torch.no_grad():
    for start, (name, value) in enumerate(layers.state_dict().items()):
        value.copy_(torch.arange(start, start + value.numel()).reshape(value.shape))

grid = torch.arange(12.0).reshape(3, 4)
state = {
    "decoder": layers.state_dict(),
    "weight": OrderedDict(
        turned=grid.T,
        part=grid[1:, 2],
        half=torch.tensor([0.5, -2.0], dtype=torch.float16),
        brain=torch.tensor([0.5, -2.0], dtype=torch.bfloat16),
        double=torch.tensor([1 / 3], dtype=torch.float64),
        parameter=torch.nn.Parameter(torch.tensor([7.0])),
        empty=torch.zeros(0, 3),
        single=torch.tensor(5.0),
    ),
    "epoch": 70,
    "lr": 1e-4,
    "name": "none",
}
torch.save(state, HERE / "state_zip.pth")
torch.save(state, HERE / "state_legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"state_dict": {"module.a": grid}}, HERE / "wrapped.pth")
torch.save(layers, HERE / "module.pth")
torch.jit.script(layers).save(HERE / "script.pth")
