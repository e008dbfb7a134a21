"""Groups of labels of ../shared/data/imagenet40_64px, ten each, and of gtsrb."""

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
OTHER_ANIMALS = (
    "goldfish",
    "goose",
    "jellyfish",
    "king penguin",
    "ladybug",
    "bee",
    "dragonfly",
    "monarch",
    "Arabian camel",
    "African elephant",
)
GROUPS = {
    "vehicles": VEHICLES,
    "mammals": MAMMALS,
    "food": FOOD,
    "other animals": OTHER_ANIMALS,
}

SIGNS = {
    "speed limits": tuple(
        f"Speed limit ({limit}km/h)" for limit in (20, 30, 50, 60, 70, 80, 100, 120)
    ),
    "warning signs": (
        "General caution",
        "Dangerous curve to the left",
        "Dangerous curve to the right",
        "Double curve",
        "Bumpy road",
        "Slippery road",
        "Road narrows on the right",
        "Road work",
        "Traffic signals",
        "Pedestrians",
        "Children crossing",
        "Bicycles crossing",
        "Beware of ice/snow",
        "Wild animals crossing",
    ),
    "stop, or not": ("Stop",),
}
