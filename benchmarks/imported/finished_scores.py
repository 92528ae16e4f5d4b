"""Scores of one's own for `import-scores`: LISTS RAW SHOTS OUT.csv. Here: how unlike the supports' size is a file's?"""

import csv
import os
import sys

lists, raw, shots, out = sys.argv[1:]


def read(name):
    with open(os.path.join(lists, name), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


queries, supports = read("queries.csv"), read("supports.csv")
with open(out, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["image_id", "score", "shots", "draw"])
    for task, draw in sorted({(row["task"], row["draw"]) for row in supports}):
        shown = [row for row in supports if (row["task"], row["draw"]) == (task, draw)][: int(shots)]
        sizes = [os.path.getsize(os.path.join(raw, row["path"])) for row in shown]
        for row in (row for row in queries if row["task"] == task):
            size = os.path.getsize(os.path.join(raw, row["path"]))  # your model here
            writer.writerow([row["image_id"], abs(size - sum(sizes) / len(sizes)), shots, draw])
