"""Makes streams.json: small compressed pictures, and the samples that their own encoders decode from them.

Made once, by hand:  python tests/reference/streams.py
Needs imagecodecs 2026.3.6 (libjpeg-turbo, OpenJPH, libjxl), pyjpegls 1.5.1 (CharLS) and numpy.
"""

import base64
import json
import pathlib

import imagecodecs
import jpeg_ls
import numpy as np

ROWS, COLUMNS = 30, 37


def picture(bits, components):
    """A ramp, flat places and noise."""
    random = np.random.default_rng(bits * 10 + components)
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    top = 2**bits - 1
    shape = (ROWS, COLUMNS) if components == 1 else (ROWS, COLUMNS, components)
    ramp = (rows + columns) * top // (ROWS + COLUMNS)
    values = np.broadcast_to(ramp if components == 1 else ramp[..., None], shape).copy()
    values[5:12, 3:30] = top // 3
    values[15:20] = 0
    values[22:] += random.integers(0, max(top // 20, 2), values[22:].shape)
    return values.clip(0, top).astype(np.uint8 if bits <= 8 else np.uint16)


def entry(name, syntax, bits, stream, samples, lossy=0):
    components = 1 if samples.ndim == 2 else samples.shape[2]
    return {
        "name": name, "syntax": "1.2.840.10008.1.2.4." + str(syntax), "rows": ROWS, "columns": COLUMNS,
        "components": components, "bits": bits, "lossy": lossy,
        "stream": base64.b64encode(bytes(stream)).decode(), "values": samples.reshape(-1).tolist(),
    }


def made():
    for bits in (2, 8, 12, 16):
        for near in (0, 3) if bits > 2 else (0,):
            stream = jpeg_ls.encode_array(picture(bits, 1), near)
            yield entry(f"JPEG-LS, grey of {bits} bits, near {near}", 81 if near else 80, bits, stream,
                        imagecodecs.jpegls_decode(stream))
    for mode, name in enumerate(["plane by plane", "line by line", "sample by sample"]):
        for near in (0, 2):
            planes = picture(8, 3).transpose(2, 0, 1).copy()
            stream = jpeg_ls.encode_array(planes if mode == 0 else picture(8, 3), near, mode)
            samples = imagecodecs.jpegls_decode(stream)
            assert np.abs(samples.astype(int) - picture(8, 3)).max() <= near
            yield entry(f"JPEG-LS, RGB {name}, near {near}", 81 if near else 80, 8, stream, samples)
    for bits, components in ((8, 1), (16, 1), (8, 3)):
        samples = picture(bits, components)
        stream = imagecodecs.htj2k_encode(samples, reversible=True)
        assert (imagecodecs.htj2k_decode(stream) == samples).all()
        yield entry(f"HTJ2K, {components} x {bits} bits", 201, bits, stream, samples)
        stream = imagecodecs.jpegxl_encode(samples, lossless=True)
        assert (imagecodecs.jpegxl_decode(stream) == samples).all()
        yield entry(f"JPEG XL, {components} x {bits} bits", 110, bits, stream, samples)
    stream = imagecodecs.jpeg_encode(picture(12, 1), 90, bitspersample=12)
    yield entry("JPEG Extended, grey of 12 bits", 51, 12, stream, imagecodecs.jpeg_decode(stream), lossy=2)


entries = list(made())
text = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
origin = f"imagecodecs {imagecodecs.__version__}, pyjpegls {jpeg_ls.__version__}"
path = pathlib.Path(__file__).parent / "streams.json"
path.write_text('{"origin":%s,\n"entries":[\n%s\n]}\n' % (json.dumps(origin), text))
