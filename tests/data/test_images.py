"""Decoding, keeping, streaming, resizing and augmenting images."""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from seam.core.preprocessing import Preprocessing
from seam.data import images as module
from seam.data.augment import View, mirrored, shifted
from seam.data.decode import CorruptImageError, ImageSource, decode, stored_size, to_square
from seam.data.images import ImageSamples, StreamedPixels, read_pixels
from seam.errors import ConfigError, DataError

PLAIN = Preprocessing(size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
GREY = Preprocessing(size=8, mean=(0.0,), std=(1.0,))


def encoded(image: Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **settings)
    return buffer.getvalue()


def noise(number: int, width: int = 8, height: int | None = None) -> Image.Image:
    shape = (height or width, width, 3)
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8))


class Listed:
    """Images in a list; counts the reads, and pickles."""

    def __init__(self, data: list[bytes]) -> None:
        self.data, self.reads = data, 0

    def read(self, i: int) -> bytes:
        self.reads += 1
        return self.data[i]

    def name(self, i: int) -> str:
        return f"{i}.png"

    @property
    def source(self) -> ImageSource:
        return ImageSource(self.read, self.name, len(self.data))


def listed(*images: Image.Image) -> ImageSource:
    return Listed([encoded(image) for image in images]).source


def samples(pixels: Tensor | StreamedPixels, count: int, **changes: Any) -> ImageSamples:
    settings = {"preprocessing": PLAIN, "device": torch.device("cpu"), **changes}
    return ImageSamples(pixels, torch.arange(count), **settings)


# -------------------------------------------------------------------------------------- decoding


def sixteen_bits() -> tuple[bytes, list[int]]:
    values = np.array([[0, 256, 4096, 65535]], dtype=np.uint16)
    return encoded(Image.fromarray(values)), [0, 1, 16, 255]


def palette() -> tuple[bytes, list[int]]:
    image = Image.new("P", (4, 1))
    image.putpalette([10, 20, 30, 200, 210, 220])
    image.putdata([0, 1, 1, 0])
    return encoded(image, transparency=b"\x00\xff"), [10, 200, 200, 10]


def with_alpha() -> tuple[bytes, list[int]]:
    return encoded(Image.new("RGBA", (4, 1), (9, 9, 9, 3))), [9] * 4


def cmyk() -> tuple[bytes, list[int]]:
    return encoded(Image.new("CMYK", (4, 1), (0, 0, 0, 0)), "TIFF"), [255] * 4


def one_bit() -> tuple[bytes, list[int]]:
    return encoded(Image.new("1", (4, 1), 1)), [255] * 4


def grey_and_alpha() -> tuple[bytes, list[int]]:
    return encoded(Image.new("LA", (4, 1), (7, 0))), [7] * 4


@pytest.mark.parametrize("make", [sixteen_bits, palette, with_alpha, cmyk, one_bit, grey_and_alpha])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_picture_becomes_grey_or_rgb(
    make: Callable[[], tuple[bytes, list[int]]], channels: int
) -> None:
    data, reds = make()
    image = decode(data, "a.png", channels)
    assert image.mode == ("L" if channels == 1 else "RGB")
    assert image.size == (4, 1)
    if channels == 3:
        assert np.asarray(image)[0, :, 0].tolist() == reds


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_stand_upright(channels: int) -> None:
    wide = Image.new("RGB", (16, 8), "black")
    wide.paste("white", (8, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right to see it upright
    image = decode(encoded(wide, "JPEG", exif=exif, quality=95), "a.jpg", channels)
    assert image.size == (8, 16)
    pixels = np.asarray(image.convert("L"))
    assert pixels[:8].max() < 64
    assert pixels[8:].min() > 192


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_unreadable_exif_is_no_reason_to_refuse() -> None:
    data = encoded(noise(0), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff nonsense")
    assert decode(data, "a.jpg", 3).size == (8, 8)


def test_damaged_pictures_are_named_in_one_line() -> None:
    whole = encoded(noise(0, 64), "JPEG")
    for data in (b"", b"no picture", whole[:200], encoded(noise(0, 64))[:2000]):
        with pytest.raises(
            CorruptImageError, match=r"image 'a/b\.jpg' cannot be read \("
        ) as caught:
            decode(data, "a/b.jpg", 3)
        assert "\n" not in str(caught.value)
        assert "0x" not in str(caught.value)  # no memory addresses


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.filterwarnings("ignore")  # Pillow may warn of what it finds
def test_flipped_bytes_give_a_picture_or_our_error(kind: str) -> None:
    whole = np.frombuffer(encoded(noise(0, 24), kind), dtype=np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = whole.copy()
        data[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
        data = data[: rng.integers(1, len(data) + 1)]
        with contextlib.suppress(CorruptImageError):
            decode(data.tobytes(), "a", 3)


def test_to_square_takes_the_centre() -> None:
    wide = Image.new("RGB", (24, 8))
    wide.paste("white", (8, 0, 16, 8))
    assert to_square(wide, 8, "bicubic").min() == 255
    assert to_square(wide.convert("L"), 8, "bicubic").shape == (1, 8, 8)
    assert to_square(wide, 5, "nearest").shape == (3, 5, 5)


# --------------------------------------------------------------------------------------- keeping


def test_images_of_one_small_size_stay_as_they_are() -> None:
    images = [noise(i) for i in range(3)]
    pixels, kept, skipped = read_pixels(listed(*images), Preprocessing(size=32), skip_bad=False)
    assert isinstance(pixels, Tensor)
    assert pixels.dtype == torch.uint8
    expected = np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])
    assert np.array_equal(pixels.numpy(), expected)
    assert (kept, skipped) == ([0, 1, 2], [])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "sizes",
    [
        [(8, 8), (8, 8), (9, 9)],  # the odd one comes last, when the others are stored already
        [(9, 9), (8, 8)],
        [(8, 9), (8, 9)],
        [(64, 64), (64, 64)],
        [(12, 12), (12, 12), (40, 30)],
    ],
)
def test_images_that_differ_are_resized(sizes: list[tuple[int, int]], channels: int) -> None:
    preprocessing = Preprocessing(
        size=12, mean=(0.5,) * channels, std=(0.5,) * channels, crop_fraction=0.75
    )
    mode = "L" if channels == 1 else "RGB"
    images = [noise(i, *size) for i, size in enumerate(sizes)]
    pixels, _, _ = read_pixels(listed(*images), preprocessing, skip_bad=False)
    assert isinstance(pixels, Tensor)
    assert stored_size(preprocessing) == 16
    expected = [to_square(image.convert(mode), 16, "bicubic") for image in images]
    assert np.array_equal(pixels.numpy(), np.stack(expected))


def test_every_image_is_read_once() -> None:
    reader = Listed([encoded(noise(i, 8 + i // 3)) for i in range(5)])
    seen: list[bytes] = []
    read_pixels(reader.source, Preprocessing(size=16), skip_bad=False, observe=seen.append)
    assert reader.reads == 5
    assert seen == reader.data


def test_bad_images_are_named_or_skipped_and_counted() -> None:
    data = [encoded(noise(i)) for i in range(4)]
    data[1], data[3] = b"", data[3][:60]
    with pytest.raises(CorruptImageError, match=r"image '1\.png' .* or pass --skip-bad"):
        read_pixels(Listed(data).source, PLAIN, skip_bad=False)
    seen: list[bytes] = []
    pixels, kept, skipped = read_pixels(
        Listed(data).source, PLAIN, skip_bad=True, observe=seen.append
    )
    assert len(pixels) == 2 if isinstance(pixels, Tensor) else False
    assert (kept, skipped) == ([0, 2], ["1.png", "3.png"])
    assert seen == [data[0], data[2]]
    with pytest.raises(DataError, match="none of the 2 images can be read"):
        read_pixels(Listed([b"", b""]).source, PLAIN, skip_bad=True)


def test_a_file_that_is_gone_is_a_bad_image(tmp_path: Path) -> None:
    def read(_number: int) -> bytes:
        return (tmp_path / "gone.png").read_bytes()

    with pytest.raises(CorruptImageError, match=r"'gone\.png' cannot be read \(.*No such file"):
        read_pixels(ImageSource(read, lambda _i: "gone.png", 1), PLAIN, skip_bad=False)


# ------------------------------------------------------------------------------------- streaming


@pytest.mark.parametrize("sizes", [[8] * 6, [8, 8, 20, 8, 9, 30]])
def test_streamed_pixels_equal_kept_ones(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    data = [encoded(noise(i, side)) for i, side in enumerate(sizes)]
    data[2] = b"damaged"
    preprocessing = Preprocessing(size=16)
    kept, numbers, _ = read_pixels(Listed(data).source, preprocessing, skip_bad=True)
    monkeypatch.setattr(module, "CACHE_BYTES", 6 * 3 * 8 * 8 - 1)
    streamed, again, skipped = read_pixels(Listed(data).source, preprocessing, skip_bad=True)
    assert isinstance(kept, Tensor)
    assert isinstance(streamed, StreamedPixels)
    assert (again, skipped) == (numbers, ["2.png"])

    order = torch.tensor([4, 0, 2, 1, 3])
    state = torch.get_rng_state()
    batches = list(streamed.batches(order, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert [part.tolist() for part, _ in batches] == [[4, 0], [2, 1], [3]]
    assert torch.equal(torch.cat([pixels for _, pixels in batches]), kept[order])

    for walk in (lambda s: s.ordered(4), lambda s: s.shuffled(4, seed=5)):
        one, other = (
            list(walk(samples(pixels, 5, preprocessing=preprocessing)))
            for pixels in (kept, streamed)
        )
        for first, second in zip(one, other, strict=True):
            assert all(map(torch.equal, first[:3], second[:3]))


def test_growing_past_the_limit_turns_to_streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_BYTES", 3 * 3 * 8 * 8)
    source = listed(noise(0), noise(1), noise(2, 9))
    pixels, kept, _ = read_pixels(source, Preprocessing(size=16), skip_bad=False)
    assert isinstance(pixels, StreamedPixels)
    assert kept == [0, 1, 2]
    [(_, batch)] = pixels.batches(torch.arange(3), 3)
    assert batch.shape == (3, 3, 16, 16)


def test_streams_pickle_for_workers_that_are_spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_BYTES", 0)
    pixels, _, _ = read_pixels(listed(noise(0), noise(1)), PLAIN, skip_bad=False)
    assert isinstance(pixels, StreamedPixels)
    copy = pickle.loads(pickle.dumps(pixels))
    [(_, expected)], [(_, found)] = (
        each.batches(torch.tensor([1, 0]), 2) for each in (pixels, copy)
    )
    assert torch.equal(found, expected)


# -------------------------------------------------------------------------------------- resizing


@pytest.mark.parametrize(
    ("mode", "tolerance"),
    # Steps of 1/255. Pillow rounds to whole steps after each of its two passes, we do not; after
    # the first it also cuts off what overshoots, which is where bicubic differs most.
    [("bicubic", 3.0), ("bilinear", 1.5), ("nearest", 0.0)],
)
def test_enlarging_on_the_device_equals_pillow(mode: str, tolerance: float) -> None:
    preprocessing = Preprocessing(
        size=224, mean=(0.0,) * 3, std=(1.0,) * 3, crop_fraction=0.875, interpolation=mode
    )
    picture = noise(1, 16).resize((64, 64), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(to_square(picture, 64, mode))[None]
    [batch] = samples(pixels, 1, preprocessing=preprocessing).ordered(1)
    assert batch.images.shape == (1, 3, 224, 224)
    whole = picture.resize((256, 256), Image.Resampling[mode.upper()])
    expected = np.asarray(whole.crop((16, 16, 240, 240)), dtype=np.float32).transpose(2, 0, 1)
    difference = np.abs(batch.images[0].numpy() * 255 - expected)
    assert difference.max() <= tolerance + 1e-3
    assert difference.mean() <= 0.5


def test_normalisation() -> None:
    preprocessing = Preprocessing(size=8, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    pixels = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    [batch] = samples(pixels, 1, preprocessing=preprocessing).ordered(1)
    assert batch.images[0, :, 0, 0].tolist() == [1.0, 3.0, 1.0]


# ------------------------------------------------------------------------------------ augmenting


def many(count: int = 40, side: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def flat(walk: Any) -> tuple[Tensor, Tensor, Tensor]:
    batches = list(walk)
    images, targets, numbers = (
        torch.cat(parts) for parts in zip(*(b[:3] for b in batches), strict=True)
    )
    return images, targets, numbers


def test_shuffled_depends_on_the_seed_alone() -> None:
    data = samples(many(), 40)
    first, again, other = (flat(data.shuffled(16, seed=seed)) for seed in (1, 1, 2))
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[2], other[2])
    assert sorted(first[2].tolist()) == list(range(40))
    assert torch.equal(first[1], first[2])  # the targets go with their samples


def test_ordered_is_in_order_and_not_augmented() -> None:
    images, targets, numbers = flat(samples(many(), 40).ordered(16))
    assert torch.equal(images, many().float() / 255)
    assert targets.tolist() == numbers.tolist() == list(range(40))


@pytest.mark.parametrize("augment", ["none", "crop", "crop+flip"])
def test_augmentation_is_what_was_asked_for(augment: Any) -> None:
    images, _, numbers = flat(samples(many(), 40, augment=augment).shuffled(40, seed=0))
    plain = many()[numbers].float() / 255
    unchanged = torch.tensor([torch.equal(a, b) for a, b in zip(images, plain, strict=True)])
    assert bool(unchanged.all()) == (augment == "none")
    inside = plain[:, :, 1:-1, 1:-1].flatten(1).mean(1)  # crops move by one pixel at this size
    assert (images.flatten(1).mean(1) - inside).abs().max() < 0.2


def test_unknown_augmentation_is_refused() -> None:
    with pytest.raises(ConfigError, match="augment is 'flip'; give one of none, crop, crop"):
        samples(many(), 40, augment="flip")


@pytest.mark.parametrize("padding", [1, 3])
def test_shifted_equals_a_crop_of_each_image(padding: int) -> None:
    images = torch.rand(20, 3, 6, 9)
    view = View.draw("crop", 20, padding, torch.Generator().manual_seed(4))
    assert view.corners is not None
    found = shifted(images, padding, view.corners)
    assert found.shape == images.shape
    top, left = view.corners
    for i, image in enumerate(images):
        padded = torch.zeros(3, 6 + 2 * padding, 9 + 2 * padding)
        padded[:, padding : padding + 6, padding : padding + 9] = image
        y, x = int(top[i]), int(left[i])
        assert torch.equal(found[i], padded[:, y : y + 6, x : x + 9])
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) > 4
    assert (int(view.corners.min()), int(view.corners.max())) == (0, 2 * padding)


def test_about_half_are_mirrored() -> None:
    images = torch.rand(400, 1, 2, 5)
    flips = View.draw("crop+flip", 400, 1, torch.Generator().manual_seed(0)).flips
    assert flips is not None
    assert 150 < int(flips.sum()) < 250
    found = mirrored(images, flips)
    assert torch.equal(found[flips], images[flips].flip(3))
    assert torch.equal(found[~flips], images[~flips])


@pytest.mark.parametrize("augment", ["none", "crop", "crop+flip"])
def test_a_view_is_the_same_in_any_order(augment: Any) -> None:
    data = samples(many(), 40, augment=augment)
    images, _, numbers = flat(data.shuffled(16, seed=1, view=7))
    assert torch.equal(images, flat(data.ordered(40, view=7))[0][numbers])
    assert torch.equal(images, flat(data.shuffled(9, seed=2, view=7))[0][_places(data, numbers)])
    other = flat(data.ordered(40, view=8))[0]
    assert torch.equal(images, other[numbers]) == (augment == "none")


def _places(data: ImageSamples, numbers: Tensor) -> Tensor:
    """Where the samples with these numbers come in the walk with seed 2."""
    return flat(data.shuffled(9, seed=2, view=7))[2].argsort()[numbers]
