"""Base models of `transformers`: ``hf:FOLDER`` or ``hf:OWNER/NAME``, images or texts.

A module of seam takes one tensor and gives logits. `TextClassifier` and `ImageClassifier` make a
model of `transformers` such a module, so that nothing else has to know where it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seam.core.text import AnyPreprocessing
from seam.errors import MissingExtraError, ModelError, in_line
from seam.models.hf_files import folder_of
from seam.models.hf_inputs import image_preprocessing, text_preprocessing

TASKS = ("ImageClassification", "SequenceClassification")
FETCHING = ("backbone", "backbone_config", "use_pretrained_backbone", "use_timm_backbone")
"""What a configuration must not hold: `transformers` would build, or fetch, another library's."""
UNRECORDED = ("id2label", "label2id", "_name_or_path", "transformers_version", "auto_map")
_PLACEHOLDER = re.compile(r"LABEL_\d+")


class ImageClassifier(nn.Module):
    """A model of `transformers` for images (batch, C, H, W).

    ``revision`` is its commit on the hub, empty where it came from a folder.
    """

    def __init__(self, model: nn.Module, revision: str = "") -> None:
        super().__init__()
        self.model = model
        self.revision = revision

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, N)."""
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


class TextClassifier(nn.Module):
    """A model of `transformers` for texts as token numbers, int64 (batch, length).

    It looks at every token but that of number ``padding``; ``revision`` as `ImageClassifier`'s.
    """

    def __init__(self, model: nn.Module, padding: int, revision: str = "") -> None:
        super().__init__()
        self.model = model
        self.padding = padding
        self.revision = revision

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, N)."""
        mask = (tokens != self.padding).long()
        logits: Tensor = self.model(input_ids=tokens, attention_mask=mask).logits
        return logits


def load(name: str) -> tuple[nn.Module, AnyPreprocessing, tuple[str, ...]]:
    """The model, what it expects, and its labels (none where they are only placeholders).

    >>> load("path/to/saved_pretrained")  # doctest: +SKIP

    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: there is no such model, it is no classifier with softmax outputs, or its
            weights, processor or tokenizer do not fit.
    """
    transformers = _transformers()
    folder, revision = folder_of(name)
    with _quiet(transformers):
        config = _config(transformers, folder)
        task = _task(config, name)
        if not any(folder.glob("*.safetensors")):
            raise ModelError(
                f"hf:{name} has no safetensors weights, and pickled ones are never opened; load "
                "it with transformers once, and save it again with save_pretrained"
            )
        model = _pretrained(getattr(transformers, f"AutoModelFor{task}"), folder, config)
        preprocessing: AnyPreprocessing
        if task == "ImageClassification":
            preprocessing = image_preprocessing(folder, config)
        else:
            preprocessing = text_preprocessing(folder, model)
            config.pad_token_id = preprocessing.padding
    return _wrapped(model, task, revision), preprocessing, _labels(config)


def architecture(name: str, model_args: Mapping[str, Any]) -> nn.Module:
    """The module alone with first weights, from the configuration in ``model_args``, if any.

    Raises:
        MissingExtraError: transformers is not installed.
        ModelError: the configuration is none of a classifier, or would open files.
    """
    transformers = _transformers()
    with _quiet(transformers):
        if "config" in model_args:
            values = dict(model_args["config"])
            if not set(values).isdisjoint(FETCHING):
                raise ModelError("the model's configuration names another model; it is not built")
            config = transformers.AutoConfig.for_model(**values)
        else:
            config = _config(transformers, folder_of(name)[0])
        task = _task(config, name)
        built = getattr(transformers, f"AutoModelFor{task}").from_config(config)
    return _wrapped(built, task, "")


def recorded_config(module: nn.Module) -> dict[str, Any]:
    """The configuration of a loaded model as plain values, enough to build it again."""
    assert isinstance(module, (ImageClassifier, TextClassifier))
    config: Any = module.model.config
    values = {name: value for name, value in config.to_dict().items() if name not in UNRECORDED}
    return {**values, "num_labels": config.num_labels}


def _wrapped(model: Any, task: str, revision: str) -> nn.Module:
    if task == "ImageClassification":
        return ImageClassifier(model, revision)
    return TextClassifier(model, model.config.pad_token_id or 0, revision)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "transformers is needed for hf: models and is not installed; pip install 'seam[text]'"
        ) from error
    return transformers


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep `transformers` from drawing bars and tables; its settings are as before afterwards."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _config(transformers: Any, folder: Path) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # it reads files of others
        raise ModelError(
            f"hf:{folder} has no configuration that can be read ({in_line(error)}); give a "
            "folder that save_pretrained wrote"
        ) from error


def _task(config: Any, name: str) -> str:
    """Which of `TASKS` a configuration is for."""
    written = (getattr(config, "architectures", None) or ["a model without a head"])[0]
    task = next((each for each in TASKS if f"For{each}" in written), None)
    if task is None:
        what = " (detection finds objects, seam needs one label a sample)" * ("Detect" in written)
        raise ModelError(
            f"hf:{name} is {written}{what}; give a model for image or sequence classification"
        )
    problem = getattr(config, "problem_type", None)
    if problem not in (None, "single_label_classification") or config.num_labels < 2:
        kind = (problem or "regression").replace("_", " ")
        raise ModelError(
            f"hf:{name} does {kind}, where labels do not exclude one another; only classifiers "
            "with softmax outputs are supported"
        )
    return task


def _pretrained(kind: Any, folder: Path, config: Any) -> Any:
    try:
        model, told = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # weights that fit not, files of others
        raise ModelError(
            f"the weights of hf:{folder} do not fit its configuration ({in_line(error)}); save "
            "both again with save_pretrained"
        ) from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise ModelError(
            f"the weights of hf:{folder} lack {', '.join(missing[:3])}: it was not trained as "
            "this classifier; give one that was"
        )
    return model


def _labels(config: Any) -> tuple[str, ...]:
    """The labels in the order of the logits; none where they are `LABEL_0` and so on."""
    names = [str(config.id2label[number]) for number in sorted(config.id2label)]
    return () if all(map(_PLACEHOLDER.fullmatch, names)) else tuple(names)
