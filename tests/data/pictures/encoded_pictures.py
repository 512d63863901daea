"""Pictures in every format and kind of pixel, encoded in memory."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 41, 67


def photograph(height=HEIGHT, width=WIDTH, seed=0):
    """Smooth, so that lossy formats stay near it: uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


def encode(image, kind, **options):
    """Bytes of a PIL image or array in a Pillow format."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_alpha(seed=1):
    image = Image.fromarray(photograph())
    alpha = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    image.putalpha(Image.fromarray(alpha))
    return image


def exif(orientation, endian="<"):
    """An EXIF block whose directory has another tag before the orientation."""
    block = Image.Exif()
    block.endian = endian
    block[0x010F] = "Maker"
    block[0x0112] = orientation
    return block.tobytes()


def upright(image, orientation):
    """EXIF 2.3's table 6 on an array: what row 0 and column 0 of the file are."""
    flips = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: np.rot90(image, -1),
        7: image[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(image),
    }
    return flips[orientation]


def png(depth, colour_type, rows, width, height, *chunks):
    """A PNG by hand; `rows` without filter bytes, `chunks` of (name, contents)."""
    stride = len(rows) // height
    filtered = b"".join(
        b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride)
    )
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [
        (b"IHDR", header),
        *chunks,
        (b"IDAT", zlib.compress(filtered)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def grey16():
    """uint16 (HEIGHT, WIDTH), all 16 bits used."""
    red, green = photograph()[:, :, 0], photograph()[:, :, 1]
    return red.astype(np.uint16) * 256 + green


def graph_cases():
    """Name -> bytes, of everything that TensorFlow's decoder is said to read."""
    picture = Image.fromarray(photograph())
    transparent = with_alpha()
    other = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    frames = {"save_all": True, "append_images": [other]}
    cases = {}
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            for subsampling in (0, 1, 2):
                cases[f"jpeg {mode} {progressive=} {subsampling=}"] = encode(
                    picture.convert(mode),
                    "JPEG",
                    progressive=progressive,
                    subsampling=subsampling,
                )
    for mode in ("1", "L", "P", "RGB"):
        cases[f"png {mode}"] = encode(picture.convert(mode), "PNG")
    for mode in ("LA", "RGBA"):
        cases[f"png {mode}"] = encode(transparent.convert(mode), "PNG")
    cases |= {
        "png 16-bit grey": encode(grey16(), "PNG"),
        "png 16-bit colour": png(
            16,
            2,
            np.repeat(grey16()[:, :, None], 3, 2).astype(">u2").tobytes(),
            WIDTH,
            HEIGHT,
        ),
        "png 16-bit grey alpha": png(
            16,
            4,
            np.repeat(grey16()[:, :, None], 2, 2).astype(">u2").tobytes(),
            WIDTH,
            HEIGHT,
        ),
        "png 2-bit grey": png(2, 0, bytes(range(8)) * 4, 16, 8),
        "png 4-bit palette": encode(picture.quantize(16), "PNG"),
        "png 1-bit palette": encode(picture.quantize(2), "PNG"),
        "png transparent palette": encode(
            picture.quantize(16), "PNG", transparency=bytes(range(0, 160, 10))
        ),
        "png transparent grey": encode(picture.convert("L"), "PNG", transparency=100),
        "png transparent 1-bit": encode(picture.convert("1"), "PNG", transparency=0),
        "png transparent colour": encode(
            picture, "PNG", transparency=tuple(int(level) for level in photograph()[3, 4])
        ),
        "png animated": encode(picture, "PNG", **frames),
    }
    for kind in ("JPEG", "PNG"):
        for endian in "<>":
            for orientation in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
                cases[f"{kind} orientation {orientation} {endian}"] = encode(
                    picture, kind, exif=exif(orientation, endian)
                )
    return cases


def jpeg_of_many_scans(width, height, scans):
    """A progressive JPEG whose last scan is repeated, 12 bytes each time."""
    flat = Image.new("RGB", (width, height), (90, 120, 40))
    data = encode(flat, "JPEG", progressive=True, quality=50)
    last, end = data.rindex(b"\xff\xda"), len(data) - 2
    return data[:end] + data[last:end] * (scans - 10) + data[end:]
