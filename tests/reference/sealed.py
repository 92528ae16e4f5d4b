"""The hashes of a seal with Python's blake3, from the description in docs/sealed-scores.md: sealed.json.

Needs blake3. Run it in this folder.
"""

import json
import struct

from blake3 import blake3

PROTOCOLS = ["clean", "clean-mean"]


def bits(value):
    return struct.pack(">d", value).hex()


def lines(pictures, threshold):
    text = ""
    for picture in sorted(pictures, key=lambda picture: picture["id"]):
        for protocol in PROTOCOLS:
            if protocol in picture:
                text += f"{picture['id']}\t{protocol}\t{bits(picture[protocol])}\n"
        if "p" in picture:
            text += f"{picture['id']}\tp-value\t{bits(picture['p'])}\n"
    if threshold is not None:
        text += f"supports\tthreshold\t{bits(threshold)}\n"
    return text


# As the test makes them, in an order that is not that of the ids.
pictures = []
for i in reversed(range(7)):
    picture = {"id": f"picture-{i}", "clean": (i * 37 % 11) / 7 - 0.5}
    if i % 2 == 0:
        picture["clean-mean"] = -picture["clean"] / 3
    if i % 3 == 0:
        picture["p"] = 1 / (i + 2)
    pictures.append(picture)

with open("sealed.json", "w") as file:
    hashes = {
        "without threshold": blake3(lines(pictures, None).encode()).hexdigest(),
        "with threshold": blake3(lines(pictures, 0.25).encode()).hexdigest(),
    }
    json.dump(hashes, file, indent=1)
    file.write("\n")
