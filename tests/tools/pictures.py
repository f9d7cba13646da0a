# SPDX-License-Identifier: MIT
"""Folders of made-up PNG files to train on."""
import random
import struct
import zlib

CLASSES, EACH = ["circle", "kr\u00e4he", 'quo"te'], 30


def png(height, width, channels, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def make_images(directory, height, width, channels):
    """One folder a class, each with a pattern of its own under noise: by path the pixels, row by row, and the label."""
    draw, pixels = random.Random(channels), {}
    for label, name in enumerate(CLASSES):
        (directory / name).mkdir(parents=True)
        for i in range(EACH):
            values = [
                min(255, (90 * label + 13 * k * (label + 1)) % 200 + draw.randrange(56))
                for k in range(height * width * channels)
            ]
            path = directory / name / f"{i:02}.png"
            line = width * channels
            path.write_bytes(png(height, width, channels, [bytes(values[r * line : r * line + line]) for r in range(height)]))
            pixels[str(path)] = values, label
    return pixels
