"""The loaders that medfsad's ingest is timed against: Pillow and pydicom in one worker process a core.

`plain` is what most people write: open, convert to RGB, resize, and send the array to the parent process.
`careful` avoids what can be avoided: films are resized before grey becomes RGB, no number is wider than a
file needs, pictures are left in shared memory so that none is sent from process to process.

Both decode JPEG by libjpeg-turbo, also inside DICOM, and their workers are ready before the clock starts.
medfsad starts this program and asks by lines on its standard input; every answer is a line of JSON.
"""

import argparse
import json
import mmap
import multiprocessing
import sys
import time

import numpy
import PIL
import pydicom
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit


def first(value):
    """The first of several windows."""
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)


def film(path):
    """A DICOM film: rescaled, windowed where it states a window, MONOCHROME1 inverted."""
    data = pydicom.dcmread(path)
    if data.file_meta.TransferSyntaxUID == JPEGBaseline8Bit:
        # pydicom would prefer pylibjpeg where it is installed, which takes three times as long.
        data.pixel_array_options(decoding_plugin="pillow")
    values = data.pixel_array
    slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    if "WindowCenter" in data and "WindowWidth" in data:
        center, width = first(data.WindowCenter), first(data.WindowWidth)
        shares = (values * numpy.float32(slope) + numpy.float32(intercept - center + 0.5)) / (width - 1) + 0.5
        values = (shares.clip(0, 1) * 255 + 0.5).astype(numpy.uint8)
    elif values.dtype != numpy.uint8:
        low, high = float(values.min()), float(values.max())
        values = ((values - low) * (255 / max(high - low, 1)) + 0.5).astype(numpy.uint8)
    if data.PhotometricInterpretation == "MONOCHROME1":
        values = 255 - values
    return Image.fromarray(values)


def plain(index):
    """Picture `index`, resized."""
    path, side = PATHS[index], BLOCK.shape[1]
    try:
        picture = film(path) if path.endswith(".dcm") else Image.open(path)
        return numpy.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))
    except Exception as error:
        raise RuntimeError(f"{path}: {error}") from error


def careful(index):
    """Leaves picture `index`, resized, in its place of the shared block."""
    path, side = PATHS[index], BLOCK.shape[1]
    try:
        if path.endswith(".dcm"):
            small = film(path).resize((side, side), Image.Resampling.LANCZOS).convert("RGB")
        else:
            with Image.open(path) as picture:
                small = picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        BLOCK[index] = numpy.asarray(small)
    except Exception as error:
        raise RuntimeError(f"{path}: {error}") from error


def timed(pool, load, workers, first, count):
    """Seconds to load `count` pictures from picture `first`."""
    # Few enough messages to cost nothing, enough of them to keep every worker busy to the end.
    chunk = min(max(count // (8 * workers), 1), 64)
    start = time.perf_counter()
    if load is careful:
        pool.map(load, range(first, first + count), chunksize=chunk)
    else:
        for index, picture in enumerate(pool.imap(load, range(first, first + count), chunksize=chunk), first):
            BLOCK[index] = picture
    return time.perf_counter() - start


def say(**answer):
    print(json.dumps(answer), flush=True)


def main():
    global PATHS, BLOCK
    parser = argparse.ArgumentParser(description="times Pillow and pydicom; started by medfsad bench-ingest")
    parser.add_argument("--list", required=True, help="JSON list of files")
    parser.add_argument("--dump", required=True, help="where the pictures are written when asked for")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--loader", choices=("plain", "careful"), required=True)
    args = parser.parse_args()
    load = careful if args.loader == "careful" else plain
    with open(args.list, encoding="utf-8") as file:
        PATHS = json.load(file)
    shape = (len(PATHS), args.size, args.size, 3)
    BLOCK = numpy.ndarray(shape, numpy.uint8, mmap.mmap(-1, int(numpy.prod(shape))))
    # Forked workers share the block and have imported everything.
    with multiprocessing.get_context("fork").Pool(args.workers) as pool:
        python = ".".join(map(str, sys.version_info[:3]))
        say(python=python, pillow=PIL.__version__, pydicom=pydicom.__version__, numpy=numpy.__version__)
        for line in sys.stdin:
            word, *numbers = line.split()
            try:
                if word == "run":
                    say(seconds=timed(pool, load, args.workers, *map(int, numbers)))
                elif word == "dump":
                    BLOCK.tofile(args.dump)
                    say(dumped=BLOCK.nbytes)
                else:
                    raise ValueError(f"unknown request {line!r}")
            except Exception as error:
                say(error=str(error))


if __name__ == "__main__":
    main()
