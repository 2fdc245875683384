"""Model files written byte by byte, as a stranger would: header and tensors as they are given."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {
    "<f8": "F64", "<f4": "F32", "<f2": "F16", "<i8": "I64", "<i4": "I32", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip


def write_model(path: Path, head: Any, tensors: dict[str, np.ndarray]) -> Path:
    """Safetensors file with the hash of what it holds."""
    text = head if isinstance(head, str) else json.dumps(head, ensure_ascii=False)
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    layout: dict[str, Any] = {"__metadata__": {"rt_decoder": text, "sha256": digest.hexdigest()}}
    content = b""
    for name, tensor in tensors.items():
        offsets = [len(content), len(content) + tensor.nbytes]
        layout[name] = {
            "dtype": DTYPES[tensor.dtype.str], "shape": tensor.shape, "data_offsets": offsets
        }  # fmt: skip
        content += tensor.tobytes()
    header = json.dumps(layout).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    return path
