"""Hostile files made of good ones: each kind of file is changed as one who knows it would."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

NAMES = [
    *("", "a", "..", "../../x", "/etc/passwd", "C:\\x", "con", "~", ".", "a/b", "-", "--help", "|"),
    *("a\x00b", "a\nb", "\x1b[2J", "\u202eabc", "\u2028", "\ufeff", "<b>", "é" * 300, "a" * 5000),
    *("<script>alert(1)</script>", "\"><img src=x onerror='alert(1)'>", "{{ 7 * 7 }}", "%s", "{0}"),
    *("timm:resnet18", "zoo:digits", "zoo:", "model:.", "hf:.", "nan", "1e999", "9" * 5000),
]
NUMBERS = [
    *(0, 1, -1, 2, 3, 7, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**12),
    *(10**30, 10**400, 0.5, -0.0, 1e-320, 1e308, -1e308, 0.1, 1.5, 1e18),
]
PLAIN: list[Any] = [None, True, False, [], {}, [[]], [None], {"": None}, {"a": 1}, [0, 0], [1] * 3]
YAML = [
    *("&a [*a]", "*b", "&a {<<: *a}", "<<: {a: 1}", "!!python/object/apply:os.system [id]"),
    *("!!python/name:os.system", "!!binary aGk=", "!!binary x", "!!set {a}", "!!omap [a: 1]"),
    *("!!pairs [a: 1]", "2001-12-14", "2001-13-45", "!!int x", "!!float x", "!!bool x", "!!null x"),
    *("!!timestamp x", "!!str [a]", "!!map [a]", "? [a]\n: b", "? {a: b}\n: c", "0b", "0x", "0o9"),
    *("1:99:99", "190:20:30.15", ".nan", "-.inf", "~", "%YAML 9.9\n---\n", "\n---\n", "\n...\n"),
    *("|2\n", ">-\n", "\t", "\ufeff", "'", '"\\u2028"', '"\\x00"', "[" * 1500, "{a: " * 1500),
    *("- " * 1500, "a: b: c", "@", "`", "!", "!<x>", "&", "*", "? ", "a:\n b\nc", "=", "9" * 5000),
]


def mutate(data: bytes, kind: str, random: Random, others: list[bytes]) -> bytes:
    """``data`` changed a little; ``others`` are whole files of its kind, to splice with."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        change = KINDS[kind] if random.random() < 0.75 else _bytes
        try:
            data = change(data, random)
        except Exception:  # what was changed before is no longer of its kind
            data = _bytes(data, random)
    if others and random.random() < 0.05:
        other = random.choice(others)
        data = data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]
    return data


def _bytes(data: bytes, random: Random) -> bytes:
    """Flip, cut, double, overwrite or insert."""
    found = bytearray(data)
    start = random.randint(0, len(found))
    end = min(len(found), start + random.choice((1, 2, 4, 8, 64, 1024, len(found))))
    match random.randrange(6):
        case 0 if found:
            found[min(start, len(found) - 1)] ^= 1 << random.randrange(8)
        case 1:
            del found[start:end]
        case 2:
            found[start:start] = found[start:end][: 2**16]
        case 3:
            found[start:end] = random.randbytes(min(end - start, 64))
        case 4:
            del found[start:]
        case _:
            text = random.choice([*NAMES, *YAML, *map(str, NUMBERS[:18])])
            found[start:start] = text.encode("utf-8", "surrogatepass")
    return bytes(found)


# ------------------------------------------------------------------------------------------- trees


def _value(random: Random) -> Any:
    """A value that nobody expects."""
    match random.randrange(8):
        case 0:
            nested: Any = random.choice(NUMBERS)
            for _ in range(random.choice((3, 90, 2000))):
                nested = [nested] if random.random() < 0.5 else {"a": nested}
            return nested
        case 1:
            return [random.choice(NAMES[:20]) for _ in range(random.choice((1, 5, 2000)))]
        case 2 | 3:
            return random.choice(NUMBERS)
        case 4:
            return random.choice(PLAIN)
        case 5:
            return random.choice((float("nan"), float("inf"), -float("inf")))
        case _:
            return random.choice(NAMES)


def edited(tree: Any, random: Random) -> Any:
    """One place of a tree of plain values changed: replaced, removed, renamed, doubled, moved."""
    places = list(_places(tree))
    if not places:
        return _value(random)
    owner, key = random.choice(places)
    value = owner[key]
    match random.randrange(9):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, dict):
            owner[random.choice(NAMES)] = owner.pop(key)
        case 2 if isinstance(owner, list):
            owner.extend([value] * random.choice((1, 2, 40)))
        case 3:
            other, there = random.choice(places)
            owner[key] = other.get(there) if isinstance(other, dict) else value
        case 4 if isinstance(value, int | float) and not isinstance(value, bool):
            owner[key] = random.choice((value + 1, value - 1, -value, value * 10**9, float(value)))
        case 5 if isinstance(value, str):
            owner[key] = value + random.choice(NAMES)
        case 6 if isinstance(value, list):
            random.shuffle(value)
        case 7 if isinstance(value, dict):
            value[random.choice(NAMES)] = _value(random)
        case _:
            owner[key] = _value(random)
    return tree


def _places(tree: Any) -> Any:
    """Every (owner, key) of a tree, without recursion."""
    left = [tree]
    while left:
        owner = left.pop()
        pairs = owner.items() if isinstance(owner, dict) else enumerate(owner)
        for key, value in list(pairs):
            yield owner, key
            if isinstance(value, dict | list):
                left.append(value)


def _json(data: bytes, random: Random) -> bytes:
    text = json.dumps(edited(json.loads(data), random), ensure_ascii=random.random() < 0.2)
    return text.encode("utf-8", "surrogatepass")


def _lines(data: bytes, random: Random) -> bytes:
    rows = data.split(b"\n")
    place = random.randrange(len(rows))
    rows[place] = _json(rows[place], random)
    return b"\n".join(rows)


def _yaml(data: bytes, random: Random) -> bytes:
    if random.random() < 0.5 and b"*" not in data:  # of aliases there may be billions
        tree = edited(yaml.safe_load(data), random)
        return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    rows = data.decode().split("\n")
    place = random.randrange(len(rows))
    head, colon, _ = rows[place].partition(":")
    value = random.choice([*YAML, *map(str, NUMBERS), *NAMES])
    rows[place] = f"{head}{colon} {value}" if random.random() < 0.7 else value
    return "\n".join(rows).encode("utf-8", "surrogatepass")


# ------------------------------------------------------------------------------- tensors, archives


def _tensors(data: bytes, random: Random) -> bytes:
    """Change the header, or the tensors, or the plain values among them."""
    length = int.from_bytes(data[:8], "little")
    choice = random.random()
    if choice < 0.35:
        header = edited(json.loads(data[8 : 8 + length]), random)
        text = json.dumps(header).encode()
        size = len(text) if random.random() < 0.9 else random.choice(NUMBERS[:14])
        return (int(size) % 2**64).to_bytes(8, "little") + text + data[8 + length :]
    tensors = load_tensors(data)
    if choice < 0.6 and "state/json" in tensors:
        text = _json(bytes(tensors["state/json"].numpy()), random)
        tensors["state/json"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    else:
        name = random.choice([*tensors])
        value = tensors.pop(name)
        name = random.choice((name, name, name, random.choice(NAMES), "mask/" + name))
        tensors[name] = _tensor(value, random)
    return save_tensors({name: value.contiguous() for name, value in tensors.items()})


def _tensor(value: torch.Tensor, random: Random) -> torch.Tensor:
    """Another type, shape or content."""
    flat = value.reshape(-1)
    kinds = (torch.uint8, torch.int64, torch.float16, torch.float64, torch.bool)
    odd = (float("nan"), float("inf"), 1e30) if value.is_floating_point() else (0, 1, 127)
    changes: list[Callable[[], torch.Tensor]] = [
        lambda: value.to(random.choice(kinds)),
        lambda: flat[: random.randint(0, value.numel())],
        lambda: value[None],
        lambda: torch.full_like(value, random.choice((0, 1, 2))),
        lambda: torch.full_like(value, random.choice(odd)),
        lambda: flat,
        lambda: torch.cat([flat] * random.choice((2, 9))),
    ]
    return random.choice(changes)()


def _zip(data: bytes, random: Random) -> bytes:
    """Change a member's name, content or compression, or add one."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = random.randrange(len(members))
    name, content = members[place]
    match random.randrange(6):
        case 0:
            members[place] = (random.choice(NAMES[1:12]), content)
        case 1:
            members.append((name, content))
        case 2 if name.endswith(".json"):
            members[place] = (name, _json(content, random))
        case 3:
            members[place] = (name, b"\x00" * random.choice((0, 10, 2**24)))
        case 4:
            del members[place]
        case _:
            members[place] = (name, _bytes(content, random))
    buffer = io.BytesIO()
    how = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------ images


def _image(data: bytes, random: Random) -> bytes:
    """Another size, mode or format; or a PNG that claims another size than it has."""
    if data.startswith(b"\x89PNG") and random.random() < 0.3:
        sizes = [random.choice((0, 1, 8, 30_000, 2**16, 2**31 - 1, 2**31)) for _ in range(2)]
        return resized_header(data, *sizes)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        sides = (1, 2, 8, 33, random.choice((1, 64, 500)))
        picture = image.resize((random.choice(sides), random.choice(sides)))
        kinds = (("PNG", "P"), ("PNG", "1"), ("PNG", "LA"), ("PNG", "RGBA"), ("PNG", "I;16"))
        kinds += (("JPEG", "CMYK"), ("JPEG", "L"), ("GIF", "P"), ("BMP", "RGB"), ("TIFF", "F"))
        kinds += (("WEBP", "RGB"), ("TIFF", "CMYK"), ("PPM", "L"), ("TGA", "RGBA"), ("ICO", "RGBA"))
        kind, mode = random.choice((*kinds, ("EPS", "RGB"), ("PDF", "RGB"), ("SGI", "RGB")))
        buffer = io.BytesIO()
        if mode == "I;16":
            grey = np.asarray(picture.convert("L"), dtype=np.uint16) * 256
            picture = Image.fromarray(grey)
        else:
            picture = picture.convert(mode)
        exif = Image.Exif()
        exif[0x0112] = random.choice((1, 3, 6, 8, 9, 0))
        picture.save(buffer, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
        return buffer.getvalue()


def resized_header(data: bytes, width: int, height: int) -> bytes:
    """A PNG file with another size in its header, and the header's checksum right."""
    head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


KINDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "json": _json,
    "lines": _lines,
    "yaml": _yaml,
    "tensors": _tensors,
    "zip": _zip,
    "image": _image,
    "text": _bytes,
}
