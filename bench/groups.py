"""Groups of ten labels of ../shared/data/imagenet40_64px, for problems of ten labels."""

from __future__ import annotations

from mobilenet_vehicles import VEHICLES

MAMMALS = (
    "golden retriever",
    "Labrador retriever",
    "German shepherd",
    "tabby",
    "Egyptian cat",
    "lion",
    "brown bear",
    "hog",
    "ox",
    "bison",
)
FOOD = (
    "guacamole",
    "ice cream",
    "pretzel",
    "bell pepper",
    "orange",
    "lemon",
    "banana",
    "pomegranate",
    "pizza",
    "espresso",
)
GROUPS = {"vehicles": VEHICLES, "mammals": MAMMALS, "food": FOOD}
