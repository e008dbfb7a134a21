"""Bad input: exit code 2, one line that names the mend, nothing half-written, no JSON."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from seam.models.zoo import ZOO, shipped_weights
from seam.search.objective import Objective

SEARCH = ["reengineer", "zoo:digits", "--data", "digits", "--epochs", "2"]


@dataclass(frozen=True)
class Place:
    """Where a row may write, and what it may copy."""

    tmp: Path
    images: Path
    finished: Path
    patch: pytest.MonkeyPatch

    @property
    def out(self) -> Path:
        return self.tmp / "out"

    def write(self, name: str, text: str | bytes) -> Path:
        file = self.tmp / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def run(self) -> Path:
        return shutil.copytree(self.finished, self.tmp / "run")

    def folder(self) -> Path:
        return shutil.copytree(self.images, self.tmp / "images")


Build = Callable[[Place], list[object]]
ROWS: dict[str, tuple[Build, str]] = {}


def row(name: str, expected: str) -> Callable[[Build], Build]:
    """A row of the table: what is called, and what the line must say."""

    def add(build: Build) -> Build:
        ROWS[name] = (build, expected)
        return build

    return add


def search(place: Place, *more: object, labels: str | None = "3,5") -> list[object]:
    named = [] if labels is None else ["--labels", labels]
    return [*SEARCH, *named, "--out", place.out, *more]


def simple(name: str, expected: str, *more: object, labels: str | None = "3,5") -> None:
    ROWS[name] = (lambda place: search(place, *more, labels=labels), expected)


def bare(name: str, expected: str, *arguments: object) -> None:
    ROWS[name] = (lambda _place: list(arguments), expected)


# ------------------------------------------------------------------------------------- problem

simple("unknown label", r"label '33' .* base model's 10 labels; did you mean '3'", labels="33,5")
simple("label twice", r"label '3' is named twice; name every label once", labels="3,3")
simple("no label", r"no labels were named; give one", labels=",")
simple("no problem", r"give either --labels .* or --groups", labels=None)


@row("label twice in groups", r"label '3' is named twice; name every label once")
def _(place: Place) -> list[object]:
    groups = place.write("groups.yaml", "a: [3, 5]\nb: [3, 8]\n")
    return search(place, "--groups", groups, labels=None)


@row("one group", r"the problem has 1 class \(all\); name at least two")
def _(place: Place) -> list[object]:
    return search(place, "--groups", place.write("groups.yaml", "all: [3, 5]\n"), labels=None)


@row("group that is no list", r"group 'a' is no list of labels; write")
def _(place: Place) -> list[object]:
    return search(place, "--groups", place.write("groups.yaml", "a: {b: 3}\n"), labels=None)


@row("groups file missing", r"groups file '.*none.yaml' cannot be read .*write YAML")
def _(place: Place) -> list[object]:
    return search(place, "--groups", place.tmp / "none.yaml", labels=None)


@row("labels and groups", r"give either --labels .* or --groups")
def _(place: Place) -> list[object]:
    return search(place, "--groups", place.write("groups.yaml", "a: [3]\nb: [5]\n"))


# ---------------------------------------------------------------------------------------- data


def on(place: Place, folder: Path, *more: object, labels: str = "3,5") -> list[object]:
    base = ["reengineer", "zoo:digits", "--data", folder, "--labels", labels, "--epochs", "2"]
    return [*base, "--out", place.out, *more]


@row("label absent from the data", r"label '8' of .* absent from the data's train split")
def _(place: Place) -> list[object]:
    return on(place, place.images, labels="3,8")


@row("data label unknown", r"data label 'tree' is not among .*--rename DATA_LABEL=BASE_LABEL")
def _(place: Place) -> list[object]:
    folder = place.folder()
    (folder / "train" / "5").rename(folder / "train" / "tree")
    return on(place, folder, labels="3")


@row("rename of nothing", r"cannot rename 'thre': it is not among the data's labels")
def _(place: Place) -> list[object]:
    return on(place, place.images, "--rename", "thre=3")


@row("rename of the wrong form", r"--rename 'three' is not of the form LEFT=RIGHT")
def _(place: Place) -> list[object]:
    return on(place, place.images, "--rename", "three")


@row("empty data", r"data folder '.*empty' is empty; add images")
def _(place: Place) -> list[object]:
    (place.tmp / "empty").mkdir()
    return on(place, place.tmp / "empty")


@row("missing data", r"data folder '.*none' does not exist; check the path")
def _(place: Place) -> list[object]:
    return on(place, place.tmp / "none")


@row("single-class data", r"an image folder needs two or more class folders")
def _(place: Place) -> list[object]:
    folder = place.folder()
    shutil.rmtree(folder / "train" / "5")
    return on(place, folder)


@row("single-class data against the rest", r"an image folder needs two or more class folders")
def _(place: Place) -> list[object]:
    folder = place.folder()
    shutil.rmtree(folder / "train" / "5")
    return on(place, folder, labels="3")


@row("corrupt image", r"image '.*04\.png' cannot be read \(.*\); mend or remove it, or pass --skip")
def _(place: Place) -> list[object]:
    folder = place.folder()
    (folder / "train" / "3" / "04.png").write_bytes(b"no image")
    return on(place, folder)


@row("only corrupt images", r"none of the \d+ images can be read; check the data folder")
def _(place: Place) -> list[object]:
    folder = place.folder()
    for file in folder.rglob("*.png"):
        file.write_bytes(b"no image")
    return on(place, folder, "--skip-bad")


@row("data is a file", r"is a file; give the folder that holds it")
def _(place: Place) -> list[object]:
    return on(place, place.write("data.csv", "a,b\n"))


simple("too few shots", r"shots is 1; give a whole number, at least 2", "--shots", "1")
simple("bad validation share", r"validation is 1\.5; give a share in \(0, 1\)", "--validation", 1.5)
simple("bad negatives", r"negatives is 'some'; give one of balanced, all", "--negatives", "some")
simple("bad augment", r"augment is 'rotate'; give one of none, crop", "--augment", "rotate")


@row("scikit-learn missing", r"pip install 'seam\[demo\]'")
def _(place: Place) -> list[object]:
    for name in ("sklearn", "sklearn.datasets"):
        place.patch.setitem(sys.modules, name, None)
    return search(place)


bare("no data", r"no data is given; add --data FOLDER", "reengineer", "zoo:digits", "--labels", "3")
bare("no out", r"no run folder is given; add --out FOLDER", *SEARCH, "--labels", "3,5")

# ------------------------------------------------------------------------------------- transfer


def transfer(place: Place, *more: object, data: object = "digits") -> list[object]:
    base = ["transfer", "zoo:digits", "--data", data, "--epochs", "2"]
    return [*base, "--out", place.out, *more]


def moved(name: str, expected: str, *more: object) -> None:
    ROWS[name] = (lambda place: transfer(place, *more), expected)


moved("transfer of one label", r"the problem has 1 class \(3\); name at least two", "--labels", "3")
moved("transfer of no label", r"label 'x' of .* absent from the data's train", "--labels", "x,3")
moved("transfer at a size", r"cannot take 0x0 images|input size is 0", "--input-size", 0)
moved("transfer of too much", r"remove is 1\.5; give a share in \(0, 1\)", "--remove", 1.5)
moved("transfer two rules", r"both choose the point", "--remove", 0.5, "--tolerance", 1)
moved("transfer head layer", r"no layer 'fd'; did you mean 'fc'\?; name", "--head-layer", "fd")
moved("transfer no head", r"does not run without layer 'conv2'", "--head-layer", "conv2")
moved(
    "transfer paper channels", r"'paper' removes", "--preset", "paper", "--granularity", "channel"
)
moved("transfer fine-tuning", r"which has no fine-tuning behind its search", "--finetune-epochs", 2)
bare("transfer no data", r"no data is given; add --data", "transfer", "zoo:digits")
bare("transfer no out", r"no run folder is given", "transfer", "zoo:digits", "--data", "digits")
bare("transfer nothing", r"--out RUN with one of --pick, --remove, .*--tolerance", "transfer")


@row("transfer to one class", r"an image folder needs two or more class folders")
def _(place: Place) -> list[object]:
    folder = place.folder()
    shutil.rmtree(folder / "train" / "5")
    return transfer(place, data=folder)


@row("transfer to one renamed class", r"has 1 class \(all\); give data that has at least two")
def _(place: Place) -> list[object]:
    return transfer(place, "--rename", "3=all", "--rename", "5=all", data=place.images)


@row("transfer at a size the base cannot take", r"cannot take 1x1 images \(.*\); choose another")
def _(place: Place) -> list[object]:
    found = transfer(place, "--input-size", 1)
    found[1] = "torchvision:squeezenet1_1"
    weights = place.tmp / "squeezenet.safetensors"
    from torchvision.models import squeezenet1_1

    save_file(squeezenet1_1(weights=None).state_dict(), str(weights))
    return [*found, "--weights", weights]


@row("transfer without a head", r"no linear layer gives its logits \(.*ran: none\); name the layer")
def _(place: Place) -> list[object]:
    from torchvision.models import squeezenet1_1

    weights = place.tmp / "squeezenet.safetensors"
    save_file(squeezenet1_1(weights=None).state_dict(), str(weights))
    found = transfer(place, "--weights", weights, "--input-size", 32)
    found[1] = "torchvision:squeezenet1_1"
    return found


# ---------------------------------------------------------------------------------- base model


def model(name: str, expected: str, base: str, *more: object) -> None:
    arguments = ["reengineer", base, "--data", "digits", "--labels", "3,5", *more]
    ROWS[name] = (lambda place: [*arguments, "--out", place.out], expected)


model("no form", r"'digits' is not of the form timm:NAME.*did you mean 'zoo:digits'", "digits")
model("unknown library", r"'hub:x' is not of the form timm:NAME, torchvision:NAME", "hub:x")
model("empty name", r"'zoo:' is not of the form", "zoo:")
model("unknown zoo name", r"zoo model 'digit' is unknown.*did you mean 'digits'", "zoo:digit")
model("unknown timm name", r"timm has no model .*did you mean 'resnet\d+'", "timm:resnett18")
model(
    "unknown torchvision name",
    r"torchvision has no classifier .*did you mean 'resnet18'",
    "torchvision:resnet81",
)
model(
    "a torchvision detector",
    r"torchvision has no classifier 'ssd300_vgg16'",
    "torchvision:ssd300_vgg16",
)
model(
    "no weights shipped",
    r"zoo:cifar_vgg16 comes without weights; give --weights",
    "zoo:cifar_vgg16",
)
model("no model argument", r"not of the form key=value", "zoo:digits", "--model-args", "classes")
model("bad model argument", r"zoo:digits does not take", "zoo:digits", "--model-args", "depth=3")
model(
    "absurd model argument",
    r"zoo:digits .*--model-args",
    "zoo:digits",
    "--model-args",
    "num_classes=-1",
)
model("model argument no YAML", r"no YAML; put it in quotes", "zoo:digits", "--model-args", "a=[")
model("bad mean", r"--mean is 'grey'; give numbers with commas", "zoo:digits", "--mean", "grey")
model("bad std", r"std is \(0\.0,\); every value must be above 0", "zoo:digits", "--std", "0")
model("bad interpolation", r"give bicubic, bilinear", "zoo:digits", "--interpolation", "cubic")
model("channels", r"cannot take 8x8 images", "zoo:digits", "--mean", "0,0,0", "--std", "1,1,1")
model(
    "labels file missing", r"labels file '/no' cannot be read", "zoo:digits", "--labels-file", "/no"
)
model(
    "weights missing", r"weights file '/no' does not exist; check", "zoo:digits", "--weights", "/no"
)


@row("labels file of another length", r"gives 10 logits but there are 2 labels; give the right")
def _(place: Place) -> list[object]:
    return search(place, "--labels-file", place.write("labels.txt", "3\n5\n"))


@row("labels file empty", r"labels file '.*' is empty; write one label a line")
def _(place: Place) -> list[object]:
    return search(place, "--labels-file", place.write("labels.txt", "\n"))


def weights(place: Place, name: str = "w.safetensors", **changes: object) -> Path:
    state = shipped_weights("digits")
    for key, value in changes.items():
        if value is None:
            del state[key.replace("_", ".", 1)]
        else:
            state[key.replace("_", ".", 1)] = value  # type: ignore[assignment]
    file = place.tmp / name
    save_file(state, str(file))
    return file


@row("weights that do not fit", r"do not fit .*missing conv1\.weight; unexpected extra\.weight;")
def _(place: Place) -> list[object]:
    file = weights(place, conv1_weight=None, extra_weight=torch.zeros(1))
    return search(place, "--weights", file)


@row("weights of another shape", r"shapes differ: fc\.bias is \(3,\), the model's \(10,\)")
def _(place: Place) -> list[object]:
    return search(place, "--weights", weights(place, fc_bias=torch.zeros(3)))


@row("weights truncated", r"weights file '.*' cannot be read .*; give a safetensors file")
def _(place: Place) -> list[object]:
    file = weights(place)
    file.write_bytes(file.read_bytes()[:5000])
    return search(place, "--weights", file)


@row("weights that run code", r"holds code, which is never run; give a safetensors file")
def _(place: Place) -> list[object]:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {place.tmp / 'evil'}",)

    file = place.tmp / "weights.pt"
    torch.save({"fc.bias": Evil()}, file)
    return search(place, "--weights", file)


@row("pickle that runs code", r"holds code, which is never run; give a safetensors file")
def _(place: Place) -> list[object]:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {place.tmp / 'evil'}",)

    return search(place, "--weights", place.write("weights.pkl", pickle.dumps(Evil())))


@row("weights with NaN", r"weights hold NaN or infinity in 'fc\.bias'; give weights that work")
def _(place: Place) -> list[object]:
    bias = torch.full((10,), float("nan"))
    return search(place, "--weights", weights(place, fc_bias=bias))


@row("input too small", r"cannot take 4x4 images .*; choose another --input-size")
def _(place: Place) -> list[object]:
    file = place.tmp / "vgg.safetensors"
    save_file(ZOO["cifar_vgg16"].build().state_dict(), str(file))
    base = ["reengineer", "zoo:cifar_vgg16", "--weights", file, "--input-size", "4"]
    return [*base, "--data", "digits", "--labels", "cat,dog", "--out", place.out]


simple(
    "input size 0", r"input size is 0 pixels; give a whole number from 1 to 4096", "--input-size", 0
)
simple("device", r"device 'cuda:99' is not to be had .*; give --device cpu", "--device", "cuda:99")
simple("device of no kind", r"device 'gpu' is not to be had here .*--device cpu", "--device", "gpu")
simple("device without memory", r"device 'meta' is not to be had here", "--device", "meta")

# -------------------------------------------------------------------------------------- search

LEAST = ("--final-density", 0.2)

simple("unknown preset", r"preset 'papr' is unknown; .*did you mean 'paper'", "--preset", "papr")
simple("bad epochs", r"epochs is 0; give a whole number, at least 1", "--epochs", "0")
simple("bad head", r"head is 'slic'; .*did you mean 'slice'", "--head", "slic")
simple("bad tune", r"tune is 'some'; give one of none, norm, all", "--tune", "some")
simple("bad granularity", r"granularity is 'bit'; give one of weight", "--granularity", "bit")
simple("bad density", r"final density is 1\.5; give a value in \(0, 1\)", "--final-density", 1.5)
simple("tolerance below 0", r"tolerance is -5\.0; give points, 0 or more", "--tolerance", -5)
simple("bad exclude", r"exclude pattern 'layer9' fits no layer; layers are", "--exclude", "layer9")
simple("nothing left to mask", r"nothing to mask", "--exclude", "*")
simple("not of this preset", r"'alpha' does not fit preset 'default'", "--alpha", "1")
simple("text for a number", r"Invalid value for '--epochs'.*; see seam reeng", "--epochs", "many")
simple(
    "two pick rules",
    r"'keep' and 'keep_macs' both choose the point; give one of them",
    "--keep",
    0.5,
    "--keep-macs",
    0.5,
)
simple("keep out of range", r"keep is 1\.5; give a share in \(0, 1\]", "--keep", 1.5)
simple("keep too small", r"smallest point of the search keeps 0\.2; give", "--keep", 0.1, *LEAST)
simple("pick beyond the search", r"epoch 9 is asked for.* has 2 epochs; give", "--pick", 9)
simple("unknown option", r"No such option: --lables.*--labels.*; see seam reengin", "--lables", "3")

bare("unknown command", r"No such command 'reenginer'.*; see seam --help", "reenginer")
bare("no model", r"no MODEL is given; give one, or choose again", "reengineer", "--out", "x")


@row("pick that is on no frontier", r"the frontier has no point of epoch 77; give \d")
def _(place: Place) -> list[object]:
    return ["reengineer", "--out", place.run(), "--pick", 77]


@row("keep below the smallest point", r"no point keeps at most 0\.01% .*smallest keeps .*: give")
def _(place: Place) -> list[object]:
    return ["reengineer", "--out", place.run(), "--keep", 0.0001]


@row("two rules for a finished run", r"with one of --pick, --keep")
def _(place: Place) -> list[object]:
    return ["reengineer", "--out", place.run(), "--keep", 0.1, "--pick", 1]


@row("pick again with another setting", r"with one of --pick.*, without --labels")
def _(place: Place) -> list[object]:
    return ["reengineer", "--out", place.run(), "--keep", 0.1, "--labels", "3,5"]


@row("pick again where nothing is", r"is no run folder: it holds no config\.yaml")
def _(place: Place) -> list[object]:
    return ["reengineer", "--out", place.tmp / "none", "--pick", 1]


# --------------------------------------------------------------------------------- config file


@row("unknown option in the config", r"option 'epoch' is unknown; did you mean 'epochs'")
def _(place: Place) -> list[object]:
    return search(place, "--config", place.write("run.yaml", "epoch: 3\n"))


@row("a name twice", r"config file '.*run\.yaml' cannot be read \(line 2: 'epochs' stands there tw")
def _(place: Place) -> list[object]:
    return ["reengineer", "--config", place.write("run.yaml", "epochs: 1\nepochs: 2\n")]


@row("bad YAML", r"config file '.*run\.yaml' cannot be read \(.*\); write YAML")
def _(place: Place) -> list[object]:
    return search(place, "--config", place.write("run.yaml", "a: [1\nb: {"))


@row("config that is a list", r"holds no mapping of names to values; write  ?name: value")
def _(place: Place) -> list[object]:
    return search(place, "--config", place.write("run.yaml", "- a\n"))


@row("config of the wrong type", r"Invalid value for '--epochs'")
def _(place: Place) -> list[object]:
    file = place.write("run.yaml", "epochs: many\n")
    return [*SEARCH[:4], "--labels", "3,5", "--out", place.out, "--config", file]


# ---------------------------------------------------------------------------------- run folder


@row("run of other settings", r"other settings \(search\.epochs: 2 there, 3 asked\); give those")
def _(place: Place) -> list[object]:
    shutil.copytree(place.finished, place.out)
    return search(place, "--epochs", 3)


@row("run of other labels", r"problem\.outputs: \['3', '5'\] there, \['3', '8'\] asked")
def _(place: Place) -> list[object]:
    shutil.copytree(place.finished, place.out)
    return search(place, labels="3,8")


@row("run on other data", r"the data is not what run '.*' began with .*; restore it, or give")
def _(place: Place) -> list[object]:
    shutil.copytree(place.finished, place.out)
    file = place.out / "environment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "split_hash": "0" * 64}))
    return search(place)


@row("folder of something else", r"is not empty and holds no run; give another --out")
def _(place: Place) -> list[object]:
    place.write("out/thesis.tex", "chapter 1")
    return search(place)


@row("path below a file", r"cannot be written \(.*\); .*in the way.*choose another --out")
def _(place: Place) -> list[object]:
    base = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "3,5"]
    return [*base, "--out", place.write("file", "text") / "run"]


@row("folder that cannot be written", r"cannot be written \(Permission denied\); change its perm")
def _(place: Place) -> list[object]:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    place.patch.setattr(Path, "mkdir", forbidden)
    return search(place)


@row("config.yaml damaged", r"config\.yaml' cannot be read: .*restore it")
def _(place: Place) -> list[object]:
    run = place.run()
    (run / "config.yaml").write_text("a: [")
    return ["evaluate", run]


@row("config.yaml of other keys", r"config\.yaml is damaged .*restore it")
def _(place: Place) -> list[object]:
    run = place.run()
    settings = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**settings, "model": {"nome": "x"}}))
    return ["evaluate", run]


@row("environment truncated", r"environment\.json' is damaged .*restore it, or, .*delete the file")
def _(place: Place) -> list[object]:
    shutil.copytree(place.finished, place.out)
    file = place.out / "environment.json"
    file.write_bytes(file.read_bytes()[:50])
    return search(place)


@row("point truncated", r"points/0000\.safetensors' cannot be read .*delete the run's folder check")
def _(place: Place) -> list[object]:
    shutil.copytree(place.finished, place.out)
    file = place.out / "checkpoint" / "points" / "0000.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    return search(place)


@row("point missing", r"points/0000\.safetensors' cannot be read .*delete the run's folder check")
def _(place: Place) -> list[object]:
    shutil.copytree(place.finished, place.out)
    (place.out / "checkpoint" / "points" / "0000.safetensors").unlink()
    return search(place)


@row("state truncated", r"state\.safetensors' cannot be read .*delete the run's folder checkpoint")
def _(place: Place) -> list[object]:
    shutil.copytree(place.finished, place.out)
    file = place.out / "checkpoint" / "state.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    return search(place)


# -------------------------------------------------------------------------- evaluate and inspect


@row("evaluate where nothing is", r"is no run folder: it holds no config\.yaml")
def _(place: Place) -> list[object]:
    return ["evaluate", place.tmp / "none"]


@row("evaluate an unfinished run", r"has no readable report\.json; run seam reengineer again")
def _(place: Place) -> list[object]:
    run = place.run()
    (run / "report.json").unlink()
    return ["evaluate", run]


@row("evaluate with another base", r"was made from a base model with fingerprint .* give the wei")
def _(place: Place) -> list[object]:
    run, file = place.run(), weights(place, fc_bias=torch.zeros(10))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["model"]["weights"] = str(file)
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    return ["evaluate", run]


def attacked(name: str, expected: str, *more: object) -> None:
    ROWS[name] = (lambda place: ["evaluate", place.run(), *more], expected)


attacked("no samples to attack", r"samples is 0; give a whole", "--defects", "--samples", 0)
attacked("epsilon of nothing", r"epsilon is 0\.0; give a number", "--defects", "--epsilon", 0)
attacked("steps without attacks", r"--steps says how to attack; give --defects", "--steps", 9)
attacked(
    "feature layer unknown",
    r"no layer 'fcc'; did you mean 'fc'\?",
    *("--defects", "--feature-layer", "fcc"),
)


def triggered(name: str, expected: str, text: str) -> None:
    def build(place: Place) -> list[object]:
        return ["evaluate", place.run(), "--trigger", place.write("trigger.yaml", text)]

    ROWS[name] = (build, expected)


triggered("trigger without target", r"has no target_label; add a line", "patch: [[255]]")
triggered(
    "trigger outside the image",
    r"patch of 1x1 pixels at column 8, row 0 lies outside the image of 8x8; move it",
    "{patch: [[255]], position: [8, 0], target_label: 7}",
)
triggered(
    "trigger of an unknown label",
    r"label '77' is not among the base model's 10 labels; did you mean '7'",
    "{patch: [[255]], target_label: 77}",
)
triggered(
    "coloured trigger on grey images",
    r"patch is coloured but the base model takes grey images",
    "{patch: [[[255, 0, 0]]], target_label: 7}",
)


@row("trigger file missing", r"trigger file '.*none\.yaml' cannot be read")
def _(place: Place) -> list[object]:
    return ["evaluate", place.run(), "--trigger", place.tmp / "none.yaml"]


def damaged(place: Place, name: str, change: Callable[[bytes], bytes]) -> Path:
    run = place.run()
    file = run / "adapter" / name
    file.write_bytes(change(file.read_bytes()))
    return run


def flip(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


TENSORS, DOCUMENT = "adapter.safetensors", "adapter.json"
for file, what, change, expected in (
    (TENSORS, "truncated", lambda d: d[: len(d) // 2], r"bytes, expected .*; fetch .* again"),
    (TENSORS, "bit-flipped", flip, r"SHA-256 differs.*; fetch the adapter again"),
    (TENSORS, "of 10 GB", lambda d: struct.pack("<Q", 10**10) + d[8:], r"SHA-256|claims.*; fetch"),
    (TENSORS, "empty", lambda _d: b"", r"has 0 bytes, expected .*; fetch the adapter again"),
    (DOCUMENT, "truncated", lambda d: d[: len(d) // 2], r"is damaged: .*; fetch the adapter again"),
    (DOCUMENT, "bit-flipped", flip, r"is damaged: .*; fetch the adapter again"),
    (
        DOCUMENT,
        "newer",
        lambda d: d.replace(b'"version": 1', b'"version": 9'),
        r"newer than 1.*; up",
    ),
):
    for command in ("inspect", "predict"):

        def build(
            place: Place,
            file: str = file,
            change: Callable[[bytes], bytes] = change,
            command: str = command,
        ) -> list[object]:
            run = damaged(place, file, change)
            image = next(place.images.rglob("*.png"))
            return ["inspect", run / "adapter"] if command == "inspect" else ["predict", run, image]

        ROWS[f"{command}: {file} {what}"] = (build, expected)


@row("predict with another base", r"belongs to base model 'zoo:digits' with fingerprint")
def _(place: Place) -> list[object]:
    run, file = place.run(), weights(place, fc_bias=torch.zeros(10))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["model"]["weights"] = str(file)
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    return ["predict", run, next(place.images.rglob("*.png"))]


@row("inspect a run folder", r"is not an adapter folder: .*; give .*run/adapter")
def _(place: Place) -> list[object]:
    return ["inspect", place.run()]


@row(
    "predict a missing image", r"image '.*none\.png' cannot be read \(No such .*\); check the path"
)
def _(place: Place) -> list[object]:
    return ["predict", place.run(), place.tmp / "none.png"]


@row(
    "predict a corrupt image",
    r"image '.*bad\.png' cannot be read \(no image format .*; give another file$",
)
def _(place: Place) -> list[object]:
    return ["predict", place.run(), place.write("bad.png", "no image")]


@row("predict a folder without images", r"folder '.*' holds no image; give image files")
def _(place: Place) -> list[object]:
    (place.tmp / "empty").mkdir()
    return ["predict", place.run(), place.tmp / "empty"]


@row("predict with an unfinished run", r"has no adapter yet; run seam reengineer again")
def _(place: Place) -> list[object]:
    run = place.run()
    shutil.rmtree(run / "adapter")
    return ["predict", run, next(place.images.rglob("*.png"))]


@row("predict without images", r"Missing argument .*; see seam predict --help")
def _(place: Place) -> list[object]:
    return ["predict", place.run()]


@pytest.mark.parametrize("name", ROWS)
def test_one_line_that_names_the_mend(
    name: str,
    call: Callable[..., object],
    tmp_path: Path,
    digit_images: Path,
    finished_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    build, expected = ROWS[name]
    place = Place(tmp_path, digit_images, finished_run, monkeypatch)
    arguments = build(place)
    before = files_of(tmp_path)
    outcome = call(*arguments, *(["--json", "--quiet"] if arguments[:1] != ("reenginer",) else []))
    monkeypatch.undo()
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert re.fullmatch(r"seam: [^\n]+\n", outcome.err), outcome.err
    assert re.search(expected, outcome.err), outcome.err
    assert files_of(tmp_path) == before
    assert not place.out.exists() or before


# --------------------------------------------------------------------------- rows with a sequel


def test_corrupt_images_are_skipped_and_counted_on_demand(
    call: Callable[..., object], tmp_path: Path, digit_images: Path
) -> None:
    folder = shutil.copytree(digit_images, tmp_path / "images")
    (folder / "train" / "3" / "04.png").write_bytes(b"no image")
    base = ["reengineer", "zoo:digits", "--data", folder, "--labels", "3,5", "--epochs", "2"]
    outcome = call(*base, "--out", tmp_path / "out", "--skip-bad", "--json", "--quiet")
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert [Path(name).name for name in report["skipped"]] == ["04.png"]
    assert sum(report["samples"].values()) == 24
    assert report["samples"]["skipped"] == 1


def test_without_quiet_the_line_comes_last(call: Callable[..., object], tmp_path: Path) -> None:
    outcome = call(*SEARCH, "--labels", "33,5", "--out", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("seam: label '33'")
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


def test_a_loss_that_is_no_number_keeps_the_points_before_it(
    call: Callable[..., object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files_of: Callable[[Path], dict[str, bytes]],
) -> None:
    out = tmp_path / "out"
    command = [*SEARCH, "--labels", "3,5", "--epochs", "4", "--out", out, "--quiet"]
    whole, calls = Objective.__call__, 0

    def broken(self: Objective, outputs: torch.Tensor, batch: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss = whole(self, outputs, batch)  # type: ignore[arg-type]
        return loss * float("nan") if calls > 4 * 3 else loss  # 4 batches: start and 4 epochs

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "__call__", broken)
        outcome = call(*command)
    assert outcome.code == 2
    assert re.search(r"the loss is nan in epoch 3; the points before it are kept", outcome.err)
    state = load_file(out / "checkpoint" / "state.safetensors")
    assert all(value.isfinite().all() for value in state.values() if value.is_floating_point())
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert files_of(out / "checkpoint" / "points")
    assert not (out / "adapter").exists()

    kept = json.loads((out / "frontier.json").read_text())[-1]["epoch"]
    assert call("reengineer", "--out", out, "--pick", kept, "--quiet").code == 0
    assert (out / "adapter" / "adapter.json").exists()

    assert call(*command).code == 0  # the cause mended, the same command goes on
    assert len((out / "history.jsonl").read_text().splitlines()) == 5


def test_rates_that_are_too_high_stop_the_search(
    call: Callable[..., object], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = call(
        *SEARCH,
        "--labels",
        "3,5",
        "--tune-lr",
        "1e25",
        "--head-lr",
        "1e25",
        "--out",
        out,
        "--quiet",
    )
    assert outcome.code == 2
    assert re.fullmatch(
        r"seam: [^\n]*(holds NaN|the loss is)[^\n]*lower [^\n]*-lr[^\n]*\n", outcome.err
    )
    assert not (out / "adapter").exists()
