"""The job with torch-pruning: three labels, 30 % of the multiply-accumulates, ONNX.

Its README's way: group Taylor importance over coupled channels, pruned in steps with fine-tuning
between them, channel counts in multiples of 8. Training, data, head and test are the user's.
"""

import torch
import torch_pruning as tp
from own import MEAN, PIXELS, STD, net
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

KEEP = ["3", "5", "8"]
SHARE = 0.3
STEPS = 4
EPOCHS = 30


def samples(split, *augmentation):
    steps = [v2.Grayscale(), *augmentation, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    folder = ImageFolder(f"images/{split}", v2.Compose([*steps, v2.Normalize(MEAN, STD)]))
    named = [(path, folder.classes[number]) for path, number in folder.samples]
    folder.samples = [(path, KEEP.index(name)) for path, name in named if name in KEEP]
    return DataLoader(folder, batch_size=64, shuffle=split == "train")


torch.manual_seed(0)
train = samples("train", v2.RandomCrop(PIXELS, padding=2))
test = samples("test")
example = torch.zeros(1, 1, PIXELS, PIXELS)
model = net()
head = nn.Linear(model.classifier.in_features, len(KEEP))
rows = [int(label) for label in KEEP]
head.load_state_dict({name: value[rows] for name, value in model.classifier.state_dict().items()})
model.classifier = head

budget = SHARE * tp.utils.count_ops_and_params(model, example)[0]
importance = tp.importance.GroupTaylorImportance()
for step in range(STEPS):
    wanted = budget / SHARE ** (1 - (step + 1) / STEPS)
    pruner = tp.pruner.BasePruner(
        model,
        example,
        importance=importance,
        global_pruning=True,
        pruning_ratio=0.95,
        iterative_steps=100,
        ignored_layers=[model.classifier],
        round_to=8,
    )
    while tp.utils.count_ops_and_params(model, example)[0] > wanted:
        model.zero_grad()
        for images, targets in train:
            F.cross_entropy(model(images), targets).backward()
        pruner.step()
    epochs = EPOCHS // STEPS
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train))
    model.train()
    for _ in range(epochs):
        for images, targets in train:
            optimizer.zero_grad()
            F.cross_entropy(model(images), targets).backward()
            optimizer.step()
            schedule.step()
    model.eval()

with torch.no_grad():
    right = sum((model(images).argmax(1) == targets).sum().item() for images, targets in test)
print("test accuracy", right / len(test.dataset))
torch.onnx.export(
    model,
    (torch.zeros(2, 1, PIXELS, PIXELS),),
    "model.onnx",
    input_names=["images"],
    output_names=["logits"],
    dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
    verify=True,
)
