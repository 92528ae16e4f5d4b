"""DINOv2 ViT-S/14 by timm, and AnomalyDINO by PyTorch, OpenCV and faiss, timed on pictures and weights of a file.

Reads one line per request from standard input, "tokens BATCH" or "anomalydino SUPPORTS", and answers each with one line of
JSON: the seconds that it took, and values to compare. The first line that it writes names its versions.
"""

import json
import sys
import time

import cv2
import faiss
import numpy as np
import timm
import torch
from safetensors.torch import load_file

SIDE = 448
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def prepared(pictures):
    """Bytes [n, 3, h, w] as the network takes them."""
    return (pictures.float() / 255 - MEAN) / DEVIATION


def tokens(model, pictures):
    """The last block's tokens after the final norm, without the class token, [n, 1024, 384]."""
    with torch.inference_mode():
        return model.forward_features(prepared(pictures))[:, 1:]


def turned(picture):
    """A picture [3, h, w] of bytes turned by 0, 45, ..., 315 degrees."""
    rows = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
    middle = (rows.shape[1] / 2, rows.shape[0] / 2)
    for angle in range(0, 360, 45):
        matrix = cv2.getRotationMatrix2D(middle, angle, 1)
        flags = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT_101}
        view = cv2.warpAffine(rows, matrix, (rows.shape[1], rows.shape[0]), **flags)
        yield torch.from_numpy(view).permute(2, 0, 1)


def unit(rows):
    rows = np.ascontiguousarray(rows)
    faiss.normalize_L2(rows)
    return rows


def anomalydino(model, supports, queries):
    """Scores of queries, picture by picture as published: the mean of the highest 1 % of the tokens' distances."""
    views = [view for support in supports for view in turned(support)]
    bank = np.concatenate([tokens(model, view[None])[0].numpy() for view in views])
    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(unit(bank))
    scores = []
    for query in queries:
        distances, _ = index.search(unit(tokens(model, query[None])[0].numpy()), 1)
        distances = distances[:, 0] / 2
        grid = torch.from_numpy(distances).view(1, 1, SIDE // 14, SIDE // 14)
        torch.nn.functional.interpolate(grid, (SIDE, SIDE), mode="bilinear")
        scores.append(float(np.sort(distances)[-(len(distances) // 100):].mean()))
    return scores


def main():
    file, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    cv2.setNumThreads(threads)
    tensors = load_file(file)
    supports, queries = tensors.pop("supports"), tensors.pop("queries")
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=SIDE, num_classes=0).eval()
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not missing and set(unexpected) <= {"mask_token"}, (missing, unexpected)
    print(json.dumps({"torch": torch.__version__, "timm": timm.__version__, "faiss": faiss.__version__}), flush=True)
    for line in sys.stdin:
        work, count = line.split()
        started = time.perf_counter()
        if work == "tokens":
            found = tokens(model, queries[: int(count)])
            seconds, values = time.perf_counter() - started, found[0, ::97].flatten().tolist()
        else:
            values = anomalydino(model, supports[: int(count)], queries)
            seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "values": values}), flush=True)


main()
