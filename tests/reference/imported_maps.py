"""Maps as numpy saves them, and what scipy reads off maps: imported_maps.json and map_*.npy.

Needs numpy and scipy. Run it in this folder.
"""

import json

import numpy
from scipy.ndimage import gaussian_filter

SIDE, N, SIGMA, BATCH = 64, 64, 4.0, 16


def values(k, side=SIDE):
    y, x = numpy.mgrid[:side, :side]
    noise = (k * 7919 + y * 104729 + x * 1299709) % 1009 / 1009
    bump = ((y - k % side) ** 2 + (x - 3 * k % side) ** 2 < 36) * (k % 5) / 4
    return (noise + bump).astype(numpy.float32)


small = values(3, 8)
numpy.save("map_f4.npy", small)
numpy.save("map_f8.npy", small.astype(numpy.float64) / 3)
numpy.save("map_fortran.npy", numpy.asfortranarray(small))
numpy.save("map_i4.npy", (small * 100).astype(numpy.int32))

maps = numpy.stack([values(k) for k in range(N)]).astype(numpy.float64)
alone = numpy.stack([gaussian_filter(one, SIGMA) for one in maps])
kept = N - N % BATCH
stacked = numpy.concatenate([gaussian_filter(maps[at : at + BATCH], SIGMA) for at in range(0, kept, BATCH)])
top = numpy.sort(alone.reshape(N, -1), axis=1)[:, -(SIDE * SIDE // 100) :]
expected = {
    "clean": alone.max((1, 2)).tolist(),
    "clean-mean": alone.mean((1, 2)).tolist(),
    "clean-top1": top.mean(1).tolist(),
    "published-2d": alone[:kept].max((1, 2)).tolist(),
    "published": stacked.max((1, 2)).tolist(),
}
with open("imported_maps.json", "w") as file:
    json.dump({"protocols": expected, "f4": small.ravel().tolist(), "f8": (small.astype(numpy.float64) / 3).ravel().tolist()}, file)
    file.write("\n")
