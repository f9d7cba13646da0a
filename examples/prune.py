#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sets the smallest weights of every convolution of a safetensors file of floats to 0: prune.py IN OUT SHARE. Needs numpy.
docs/models.md shows what that does to batch norms, and how they are mended."""
import json
import sys

import numpy as np

with open(sys.argv[1], "rb") as file:
    data = bytearray(file.read())
start = 8 + int.from_bytes(data[:8], "little")
for name, tensor in json.loads(data[8:start]).items():
    if name.startswith(("__metadata__", "trainer.")) or len(tensor["shape"]) != 4:
        continue
    begin, end = tensor["data_offsets"]
    weights = np.frombuffer(data, "<f4", (end - begin) // 4, start + begin)
    weights[np.abs(weights) < np.quantile(np.abs(weights), float(sys.argv[3]))] = 0
with open(sys.argv[2], "wb") as file:
    file.write(data)
