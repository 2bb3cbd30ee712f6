from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st

from cfgen.weights import read_header
from tests.hostile import survives


def scalar(value: object) -> object:
    return len(value) if isinstance(value, list) else value


def test_says_what_the_public_reader_says(small_llama):
    file = small_llama[1]
    header, reader = read_header(file), GGUFReader(file)
    assert header.architecture == "llama"
    assert header.tensors == {tensor.name: tensor.n_elements for tensor in reader.tensors}
    fields = {key: scalar(field.contents()) for key, field in reader.fields.items()}
    assert header.fields == {k: v for k, v in fields.items() if not k.startswith("GGUF.")}


@pytest.mark.parametrize("left", [0, 3, 4, 23, 24, 60, 400, 4000, -1, -5000])
def test_cut_short(small_llama, tmp_path, left):
    content = small_llama[1].read_bytes()
    file = tmp_path / "cut.gguf"
    file.write_bytes(content[:left])
    with pytest.raises(ValueError, match=r"begin as|cut short|ends in"):
        read_header(file)


@pytest.mark.parametrize("version", [1, 4, 3 << 24])
def test_other_versions(small_llama, tmp_path, version):
    content = small_llama[1].read_bytes()
    file = tmp_path / "old.gguf"
    file.write_bytes(content[:4] + struct.pack("<I", version) + content[8:])
    with pytest.raises(ValueError, match="version"):
        read_header(file)


def test_an_older_version_is_read_too(small_llama, tmp_path):
    content = small_llama[1].read_bytes()
    file = tmp_path / "two.gguf"
    file.write_bytes(content[:4] + struct.pack("<I", 2) + content[8:])
    assert read_header(file) == read_header(small_llama[1])


@given(st.data())
def test_whatever_is_damaged_it_ends_with_an_answer(small_llama, data):
    content = bytearray(small_llama[1].read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(4, 400) | st.integers(4, len(content) - 9))
        filler = data.draw(st.binary(min_size=1, max_size=8) | st.just(b"\xff" * 8))
        content[at : at + len(filler)] = filler
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "damaged.gguf"
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"\w"):  # it lacks most of its weights in any case
            read_header(file)


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def begun(tensors: int, fields: int, *rest: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, fields) + b"".join(rest)


HUGE = (10**5 + 1, 2**31, 2**63, 2**64 - 1)
ZEROS = bytes(1 << 16)
STRINGS = text(b"a") + struct.pack("<II", 9, 8)
TENSOR = text(b"t")
ABSURD = [
    *((begun(huge, 0, ZEROS), "tensors") for huge in HUGE),
    *((begun(0, huge, ZEROS), "fields") for huge in HUGE),
    *((begun(0, 1, struct.pack("<Q", huge), ZEROS), "short or damaged") for huge in HUGE),
    *((begun(0, 1, STRINGS, struct.pack("<Q", huge), ZEROS), "damaged") for huge in HUGE),
    (begun(0, 1, text(b"a") + struct.pack("<IIQ", 9, 12, 2**63), ZEROS), "damaged"),
    (begun(0, 1, text(b"a") + struct.pack("<IIQ", 9, 9, 3), ZEROS), "damaged"),
    (begun(0, 1, text(b"a") + struct.pack("<I", 99), ZEROS), "damaged"),
    (begun(0, 1, text(b"general.alignment") + struct.pack("<II", 4, 0), ZEROS), "damaged"),
    (begun(1, 0, TENSOR, struct.pack("<I", 2**32 - 1), ZEROS), "dimensions"),
    (begun(1, 0, TENSOR, struct.pack("<IQIQ", 1, 2**63, 0, 0), ZEROS), "cut short"),
    (begun(1, 0, TENSOR, struct.pack("<IQIQ", 1, 1, 0, 2**63), ZEROS), "cut short"),
    (begun(1, 0, TENSOR, struct.pack("<IQIQ", 1, 1, 99, 0), ZEROS), "99 is not"),
]


@pytest.mark.parametrize(("content", "part"), ABSURD)
def test_absurd_numbers(tmp_path, content, part):
    file = tmp_path / "absurd.gguf"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=part):
        survives(lambda: read_header(file))
