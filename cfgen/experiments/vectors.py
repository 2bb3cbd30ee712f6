"""Vectors of the user's own: files of numbers that are added to what an LM has at a place."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfgen.bounded import read_file
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display

SUFFIXES = (".npy", ".safetensors")
BYTES = 1 << 30
"""Size of such a file at most."""


@dataclass(frozen=True, slots=True, eq=False)
class SteeringVector:
    """Numbers to be added at a place.

    Attributes:
        numbers: float32, of any shape: as many as a token has at the place, or as many for each
            layer, layers first.
        digest: SHA-256 of the numbers and their shape.
    """

    numbers: NDArray[np.float32]
    digest: str

    def at(self, layer: int, layers: int, size: int) -> NDArray[np.float32]:
        """What is added in a layer (size,).

        Args:
            layer: The layer.
            layers: How many the LM has.
            size: How many numbers a token has at the place.

        Raises:
            CfgenError: There are more or fewer (``bad-vector``).
        """
        if self.numbers.size == size:
            return self.numbers.reshape(size)
        if self.numbers.shape[:1] == (layers,) and self.numbers.size == layers * size:
            rows: NDArray[np.float32] = self.numbers.reshape(layers, size)
            return rows[layer : layer + 1].reshape(size)
        message = f"the vector has the shape {self.numbers.shape}, and a token {size} numbers there"
        hint = f"give {size} numbers, or {layers} rows of them, one for each layer"
        raise CfgenError(Problem("bad-vector", message, hint=hint))


def read_vector(path: Path) -> SteeringVector:
    """Read a vector.

    Args:
        path: A ``.npy`` file, or a ``.safetensors`` file with one tensor.

    Raises:
        CfgenError: There is none, or not of finite numbers (``bad-vector``).
    """
    if path.suffix not in SUFFIXES:
        raise CfgenError(_problem(path, f"its name ends in none of {', '.join(SUFFIXES)}"))
    try:
        content = read_file(path, BYTES)
        numbers = _numpy(content) if path.suffix == ".npy" else _safetensors(content)
    except CfgenError:
        raise
    except Exception as error:  # whatever a library says of what is damaged
        raise CfgenError(_problem(path, f"it can't be read ({error})")) from error
    if numbers is None or numbers.dtype.kind not in "fiu" or not numbers.size:
        raise CfgenError(_problem(path, "it does not hold one tensor of numbers"))
    found = np.ascontiguousarray(numbers, dtype="<f4")
    if not np.isfinite(found).all():
        raise CfgenError(_problem(path, "some of its numbers are not finite"))
    shape = ",".join(map(str, found.shape))
    return SteeringVector(found, hashlib.sha256(shape.encode() + found.tobytes()).hexdigest())


def _numpy(content: bytes) -> NDArray[Any] | None:
    found = np.load(io.BytesIO(content), allow_pickle=False)
    return found if isinstance(found, np.ndarray) else None


def _safetensors(content: bytes) -> NDArray[Any] | None:
    from safetensors.numpy import load

    found = list(load(content).values())
    return found[0] if len(found) == 1 else None


def _problem(path: Path, what: str) -> Problem:
    hint = "save one array of numbers: numpy.save('vector.npy', ...), or as .safetensors"
    return Problem("bad-vector", f"{display(path)} is no vector: {what}", hint=hint)
