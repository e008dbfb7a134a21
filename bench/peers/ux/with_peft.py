"""The job with PEFT: three labels, ONNX; the model stays as large as it was.

PEFT adapts: low-rank updates of the convolutions, a new head trained whole, merged before export.
Training, data and test are the user's. Needs peft, which seam does not: pip install peft==0.21.2
"""

import torch
from own import MEAN, PIXELS, STD, net
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

KEEP = ["3", "5", "8"]
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
model = net()
head = nn.Linear(model.classifier.in_features, len(KEEP))
rows = [int(label) for label in KEEP]
head.load_state_dict({name: value[rows] for name, value in model.classifier.state_dict().items()})
model.classifier = head

config = LoraConfig(r=8, target_modules=r".*\.0", modules_to_save=["classifier"])
adapted = get_peft_model(model, config)
optimizer = torch.optim.Adam((p for p in adapted.parameters() if p.requires_grad), lr=0.003)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(train))
for _ in range(EPOCHS):
    for images, targets in train:
        optimizer.zero_grad()
        F.cross_entropy(adapted(images), targets).backward()
        optimizer.step()
        schedule.step()
adapted.save_pretrained("adapter")
model = adapted.merge_and_unload().eval()

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
