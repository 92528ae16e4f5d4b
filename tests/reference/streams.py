"""Makes streams.json: small compressed pictures, and the samples that their own encoders decode from them.

Made once, by hand:  python tests/reference/streams.py
Needs imagecodecs 2026.3.6 (libjpeg-turbo, OpenJPEG, OpenJPH, libjxl, liblj92), pyjpegls 1.5.1 (CharLS) and numpy.
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
    yield from made_2000()
    yield from made_jpeg()


def made_2000():
    """JPEG 2000; the multi-component syntaxes with streams that make no use of what they add."""
    for bits, components in ((8, 1), (16, 1), (8, 3)):
        samples, name = picture(bits, components), f"{components} x {bits} bits"
        stream = imagecodecs.jpeg2k_encode(samples, codecformat="J2K", reversible=True)
        assert (imagecodecs.jpeg2k_decode(stream) == samples).all()
        for syntax in (90, 92):
            yield entry(f"JPEG 2000 lossless, {name}, as .{syntax}", syntax, bits, stream, samples)
        stream = imagecodecs.jpeg2k_encode(samples, codecformat="J2K", level=40)
        for syntax in (91, 93):
            yield entry(f"JPEG 2000, {name}, as .{syntax}", syntax, bits, stream,
                        imagecodecs.jpeg2k_decode(stream), lossy=2)
    samples = picture(8, 1)
    for syntax in (202, 203):
        yield entry(f"HTJ2K, 1 x 8 bits, as .{syntax}", syntax, 8,
                    imagecodecs.htj2k_encode(samples, reversible=True), samples)


def made_jpeg():
    """JPEG, and JPEG within JPEG XL."""
    for components in (1, 3):
        samples, name = picture(8, components), f"{components} x 8 bits"
        stream = imagecodecs.jpeg8_encode(samples, 95, subsampling="444")
        shown = imagecodecs.jpeg8_decode(stream)
        yield entry(f"JPEG Baseline, {name}", 50, 8, stream, shown, lossy=2)
        # A baseline stream is an extended one but for its name.
        extended = stream.replace(b"\xff\xc0\x00", b"\xff\xc1\x00", 1)
        yield entry(f"JPEG Extended, {name}", 51, 8, extended, shown, lossy=2)
        wrapped = imagecodecs.jpegxl_encode_jpeg(stream)
        yield entry(f"JPEG XL around JPEG, {name}", 111, 8, wrapped, imagecodecs.jpegxl_decode(wrapped), lossy=2)
        lossy = imagecodecs.jpegxl_encode(samples, distance=1.0)
        yield entry(f"JPEG XL with loss, {name}", 112, 8, lossy, imagecodecs.jpegxl_decode(lossy), lossy=2)
    for bits in (8, 16):
        samples = picture(bits, 1)
        stream = imagecodecs.ljpeg_encode(samples)
        assert (imagecodecs.ljpeg_decode(stream) == samples).all()
        for syntax in (57, 70):
            yield entry(f"JPEG Lossless, grey of {bits} bits, as .{syntax}", syntax, bits, stream, samples)


entries = list(made())
text = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
origin = f"imagecodecs {imagecodecs.__version__}, pyjpegls {jpeg_ls.__version__}"
path = pathlib.Path(__file__).parent / "streams.json"
path.write_text('{"origin":%s,\n"entries":[\n%s\n]}\n' % (json.dumps(origin), text))
