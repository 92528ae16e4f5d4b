"""An external method in 40 lines: how far is a picture's mean colour from that of the supports?

Called as `python3 mean_colour.py FOLDER`. FOLDER holds supports.csv and queries.csv (picture_id, path to a
binary PPM) and episode.json; scores.csv (picture_id, score) is expected there. Standard library only; with
Pillow, Image.open(path) reads the pictures just as well.
"""

import csv
import sys
from pathlib import Path


def mean_colour(path):
    """Mean of red, green and blue, 0 to 255."""
    kind, _size, _highest, samples = Path(path).read_bytes().split(b"\n", 3)
    assert kind == b"P6", f"{path} is not a binary PPM"
    return [sum(samples[channel::3]) / (len(samples) // 3) for channel in range(3)]


def colours(listing):
    """Picture ids and their mean colours."""
    with open(listing, newline="") as file:
        return {row["picture_id"]: mean_colour(row["path"]) for row in csv.DictReader(file)}


def main(folder):
    supports = list(colours(folder / "supports.csv").values())
    centre = [sum(colour[channel] for colour in supports) / len(supports) for channel in range(3)]
    with open(folder / "scores.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture_id", "score"])
        for picture_id, colour in colours(folder / "queries.csv").items():
            distance = sum((a - b) ** 2 for a, b in zip(colour, centre)) ** 0.5
            writer.writerow([picture_id, distance])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
