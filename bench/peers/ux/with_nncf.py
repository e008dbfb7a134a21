"""The job with NNCF: three labels, 8-bit weights and activations, ONNX.

NNCF removes no channels (its `prune` sets single weights to zero), so the model is made smaller and
faster by 8 bits: fine-tuned for the three labels, exported, quantized after training as its README
shows for ONNX. Training, data, head and test are the user's.
"""

import nncf
import onnx
import onnxruntime
import torch
from own import MEAN, PIXELS, STD, net
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

optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(train))
model.train()
for _ in range(EPOCHS):
    for images, targets in train:
        optimizer.zero_grad()
        F.cross_entropy(model(images), targets).backward()
        optimizer.step()
        schedule.step()
model.eval()

torch.onnx.export(
    model,
    (torch.zeros(2, 1, PIXELS, PIXELS),),
    "float.onnx",
    input_names=["images"],
    output_names=["logits"],
    dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
    external_data=False,
    verify=True,
)
calibration = nncf.Dataset(samples("train"), lambda batch: {"images": batch[0].numpy()})
onnx.save(nncf.quantize(onnx.load("float.onnx"), calibration), "model.onnx")

session = onnxruntime.InferenceSession("model.onnx")
right = sum(
    int((session.run(None, {"images": images.numpy()})[0].argmax(1) == targets.numpy()).sum())
    for images, targets in test
)
print("test accuracy", right / len(test.dataset))
