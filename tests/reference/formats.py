"""Makes dicom_lossy.json, nifti_slices.json and rasters.json: what other readers read.

Made once, by hand:  python tests/reference/formats.py FOLDER
where FOLDER is realmini/formats. Needs pydicom 3.0.2, pylibjpeg 2.1.0 (libjpeg 2.5.0, openjpeg 2.6.0),
pyjpegls 1.5.1, nibabel 5.4.2, Pillow and numpy; the versions used are noted in each file.
"""

import base64
import csv
import io
import json
import pathlib
import sys

import nibabel
import numpy as np
import PIL
import pydicom
from nibabel.orientations import aff2axcodes
from PIL import Image

HERE = pathlib.Path(__file__).parent
# Baseline, extended, JPEG-LS near-lossless, JPEG 2000.
LOSSY = {"1.2.840.10008.1.2.4." + last for last in ("50", "51", "81", "91")}


def write(name, origin, entries):
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    text = '{"origin":%s,\n"entries":[\n%s\n]}\n' % (json.dumps(origin), lines)
    (HERE / name).write_text(text)


def number(value):
    """`None` for what JSON has no number for."""
    return float(value) if np.isfinite(value) else None


def grid(size, n=12):
    """Up to `n` places spread over a side, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, n).round().astype(int))


def dicom(folder):
    entries = []
    for row in csv.DictReader(open(folder / "manifest.csv")):
        if row["folder"] != "images" or row["transfer_syntax"] not in LOSSY or not row["decoded_sha256_le"]:
            continue
        dataset = pydicom.dcmread(folder / "images" / row["file"], force=True)
        pixels = dataset.pixel_array
        if int(row["NumberOfFrames"] or 1) == 1:
            pixels = pixels[None]
        if pixels.ndim == 3:
            pixels = pixels[..., None]
        for frame in sorted({0, len(pixels) - 1}):
            rows, columns = grid(pixels.shape[1]), grid(pixels.shape[2])
            sampled = pixels[frame][np.ix_(rows, columns)]
            entries.append({
                "file": row["file"], "frame": frame, "rows": rows.tolist(), "columns": columns.tolist(),
                "bits": int(row["BitsStored"]), "mean": float(pixels[frame].mean()),
                "values": sampled.reshape(-1).tolist(),
            })
    write("dicom_lossy.json", f"pixel_array of pydicom {pydicom.__version__}, sampled on a grid", entries)


def nifti(folder):
    entries = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".img" or not path.name.endswith((".nii", ".nii.gz", ".hdr")):
            continue
        image = nibabel.load(path)
        if not isinstance(image, nibabel.spatialimages.SpatialImage) or "dconn" in path.name:
            continue
        canonical = nibabel.as_closest_canonical(image)
        data = canonical.get_fdata(dtype=np.float64)
        data = data.reshape(data.shape[:3] + (-1,), order="F")
        for axis, name in enumerate(["sagittal", "coronal", "axial"]):
            slices, times = data.shape[axis], data.shape[3]
            for frame in sorted({0, slices // 3, slices - 1, slices * times - 1}):
                volume = data[..., frame // slices]
                # The higher remaining axis runs up, the lower one to the left.
                shown = np.flip(np.take(volume, frame % slices, axis).T)
                rows, columns = grid(shown.shape[0], 5), grid(shown.shape[1], 5)
                finite = volume[np.isfinite(volume) & (volume != 0)]
                entries.append({
                    "file": path.name, "stored": "".join(aff2axcodes(image.affine)), "axis": name,
                    "frame": frame, "frames": slices * times, "height": shown.shape[0],
                    "width": shown.shape[1], "sum": number(np.nansum(shown)), "min": number(np.nanmin(shown)),
                    "max": number(np.nanmax(shown)), "rows": rows.tolist(), "columns": columns.tolist(),
                    "values": [number(value) for value in shown[np.ix_(rows, columns)].reshape(-1)],
                    "percentiles": np.percentile(finite, [0.5, 99.5]).tolist(),
                })
    write("nifti_slices.json", f"as_closest_canonical of nibabel {nibabel.__version__}, sampled on a grid", entries)


def pictures():
    """Name, Pillow image and the arguments of `save`; 11 wide and 7 high, no two pixels of a kind alike."""
    y, x = np.mgrid[0:7, 0:11]
    smooth = np.stack([x * 20 + 20, y * 30 + 20, 250 - x * 10 - y * 10], -1).astype(np.uint8)
    colour = Image.fromarray(smooth)
    grey = colour.convert("L")
    deep = Image.fromarray((x * 5000 + y * 700 + 11).astype(np.uint16))
    clear = colour.copy()
    clear.putalpha(grey)
    indexed = colour.quantize(32)
    black = grey.point(lambda value: 255 * (value > 120)).convert("1")
    yield from [
        ("rgb.png", colour, {}), ("grey.png", grey, {}), ("grey16.png", deep, {}),
        ("grey_alpha.png", clear.convert("LA"), {}), ("rgba.png", clear, {}), ("palette.png", indexed, {}),
        ("palette_transparent.png", indexed, {"transparency": 3}), ("palette4.png", colour.quantize(9), {"bits": 4}),
        ("black.png", black, {}), ("rgb_transparent.png", colour, {"transparency": (20, 20, 250)}),
        ("rgb.bmp", colour, {}), ("grey.bmp", grey, {}), ("palette.bmp", indexed, {}), ("black.bmp", black, {}),
        ("rgba.bmp", clear, {}),
        ("rgb.tif", colour, {}), ("grey.tif", grey, {}), ("grey16.tif", deep, {}), ("palette.tif", indexed, {}),
        ("black.tif", black, {}), ("rgba.tif", clear, {}), ("cmyk.tif", colour.convert("CMYK"), {}),
        ("ycbcr.tif", colour.convert("YCbCr"), {}),
        ("lzw.tif", colour, {"compression": "tiff_lzw"}), ("deflate.tif", colour, {"compression": "tiff_adobe_deflate"}),
        ("packbits.tif", colour, {"compression": "packbits"}), ("jpeg.tif", colour, {"compression": "jpeg"}),
        ("group4.tif", black, {"compression": "group4"}), ("grey16_lzw.tif", deep, {"compression": "tiff_lzw"}),
        ("float.tif", Image.fromarray((x / 10).astype(np.float32)), {}),
        ("pages.tif", colour, {"save_all": True, "append_images": [grey, colour.transpose(Image.ROTATE_90), deep]}),
        ("bigtiff.tif", colour, {"big_tiff": True, "save_all": True, "append_images": [grey]}),
        ("rgb.jpg", colour, {"quality": 95}), ("grey.jpg", grey, {"quality": 95}),
        ("cmyk.jpg", colour.convert("CMYK"), {"quality": 95}),
        ("progressive.jpg", colour, {"quality": 95, "progressive": True}),
        ("halved.jpg", colour.resize((44, 28)), {"quality": 95, "subsampling": 2}),
        ("rgb_coded.jpg", colour, {"quality": 95, "keep_rgb": True}),
    ]


def eight_bits(image):
    """As `convert` does it, but with 16 bits scaled and not clipped."""
    if image.mode.startswith("I;16"):
        return np.round(np.asarray(image).astype(float) / 65535 * 255).astype(np.uint8)
    if image.mode == "F":
        return None
    return np.asarray(image.convert("L" if image.mode in ("L", "1", "LA") else "RGB"))


def rasters():
    entries = []
    for name, image, arguments in pictures():
        file = io.BytesIO()
        kind = {"png": "PNG", "bmp": "BMP", "tif": "TIFF", "jpg": "JPEG"}[name[-3:]]
        image.save(file, kind, **arguments)
        opened = Image.open(io.BytesIO(file.getvalue()))
        for page in range(getattr(opened, "n_frames", 1)):
            opened.seek(page)
            shown = eight_bits(opened)
            entries.append({
                "file": name, "page": page, "pages": getattr(opened, "n_frames", 1), "mode": opened.mode,
                "shape": None if shown is None else list(shown.shape),
                "values": None if shown is None else shown.reshape(-1).tolist(),
                "base64": base64.b64encode(file.getvalue()).decode() if page == 0 else None,
            })
    write("rasters.json", f"made up, written and read by Pillow {PIL.__version__}", entries)


if __name__ == "__main__":
    dicom(pathlib.Path(sys.argv[1]) / "dicom")
    nifti(pathlib.Path(sys.argv[1]) / "nifti")
    rasters()
