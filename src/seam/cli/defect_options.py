"""The options of `seam evaluate --defects`, and the plan that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seam.errors import ConfigError

if TYPE_CHECKING:
    from seam.defects.plan import DefectsPlan

Attacks = Annotated[
    bool,
    typer.Option(
        "--defects", help="Attack base and result: which weaknesses has the result inherited?"
    ),
]
Samples = Annotated[
    int | None, typer.Option(help="Test samples that are attacked; by default 1000.")
]
Steps = Annotated[int | None, typer.Option(help="Of each attack; by default 40.")]
Epsilon = Annotated[
    float | None,
    typer.Option(help="Largest change of a pixel value, in /255; by default 8."),
]
AutoAttack = Annotated[
    int | None,
    typer.Option(help="Samples that AutoAttack gets, 0 for none; by default 100."),
]
Published = Annotated[
    bool,
    typer.Option("--published", help="Attack the base's features at the published strength, too."),
]
AdaptiveFeatures = Annotated[
    bool,
    typer.Option("--adaptive-features", help="Attack the result's features, not its logits alone."),
]
FeatureLayer = Annotated[
    str | None,
    typer.Option(
        help="The base's layer that takes its penultimate features, where it is not found."
    ),
]
TriggerFile = Annotated[
    Path | None,
    typer.Option(
        "--trigger", help="YAML file of a backdoor's trigger: patch, position, target_label."
    ),
]


def defects_plan(attacks: bool, trigger: Path | None, **settings: Any) -> DefectsPlan | None:
    """What is to be measured; None where neither --defects nor --trigger is given.

    >>> defects_plan(True, None, steps=20, samples=None).steps
    20

    Raises:
        ConfigError: a setting of the attacks without --defects, or one that is out of range.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if given and not attacks:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"{flags} say{'s' * (len(given) == 1)} how to attack; give --defects too")
    if not attacks and trigger is None:
        return None
    from seam.defects.backdoor import Trigger
    from seam.defects.plan import DefectsPlan

    found = Trigger.from_file(trigger) if trigger is not None else None
    return DefectsPlan(attacks=attacks, trigger=found, **given)
