"""The benchmark's networks: torchvision's, a U-Net and a tiny YOLO, exported with BatchNormalization kept.

Weights are torchvision's initialisation, seeded; every BatchNormalization has running statistics and an affine part
that do something, so that folding it is not a no-op. Run as a program: networks.py NAME FILE.onnx
"""
import sys

RECIPE = 1  # raise it when a network changes: models are cached by it

# name: (height and width of the input)
NETWORKS = {"resnet18": 224, "resnet50": 224, "vgg16_bn": 224, "mobilenet_v2": 224, "efficientnet_b0": 224,
            "densenet121": 224, "unet": 256, "yolo_tiny": 416}


def conv_bn(nn, cin, cout, activation, kernel=3, stride=1):
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout),
                         activation())


def unet(torch):
    """Four levels, 32 to 512 channels; up by ConvTranspose + BN + Relu, joined by Concat."""
    nn = torch.nn

    def double(cin, cout):
        return nn.Sequential(conv_bn(nn, cin, cout, nn.ReLU), conv_bn(nn, cout, cout, nn.ReLU))

    class UNet(nn.Module):
        def __init__(self, widths=(32, 64, 128, 256, 512), classes=2):
            super().__init__()
            self.down = nn.ModuleList(double(a, b) for a, b in zip((3,) + widths[:-1], widths))
            self.up = nn.ModuleList(
                nn.Sequential(nn.ConvTranspose2d(b, a, 2, 2), nn.BatchNorm2d(a), nn.ReLU())
                for a, b in zip(widths[-2::-1], widths[:0:-1]))
            self.join = nn.ModuleList(double(2 * a, a) for a in widths[-2::-1])
            self.head = nn.Conv2d(widths[0], classes, 1)

        def forward(self, x):
            skips = []
            for i, block in enumerate(self.down):
                x = block(x if i == 0 else torch.nn.functional.max_pool2d(skips[-1], 2))
                skips.append(x)
            for up, join, skip in zip(self.up, self.join, skips[-2::-1]):
                x = join(torch.cat([skip, up(x)], 1))
            return self.head(x)

    return UNet()


def yolo_tiny(torch):
    """The shape of YOLOv3-tiny: Conv + BN + LeakyRelu, MaxPool, Resize (nearest, 2x), Concat, two heads."""
    nn = torch.nn

    def block(cin, cout, kernel=3):
        return conv_bn(nn, cin, cout, lambda: nn.LeakyReLU(0.1), kernel)

    class YoloTiny(nn.Module):
        def __init__(self, outputs=255):
            super().__init__()
            widths = (3, 16, 32, 64, 128, 256)
            stages = []
            for i, (a, b) in enumerate(zip(widths, widths[1:])):
                stages += ([nn.MaxPool2d(2)] if i else []) + [block(a, b)]
            self.stem = nn.Sequential(*stages)
            # A 3x3 pool where the original pads with zeros for a 2x2 one: ONNX Runtime fuses such a Pad into the pool
            # as if it were -inf (microsoft/onnxruntime#24737), and its outputs would be no good to compare with.
            self.deep = nn.Sequential(nn.MaxPool2d(2), block(256, 512), nn.MaxPool2d(3, 1, 1), block(512, 1024),
                                      block(1024, 256, 1))
            self.coarse = nn.Sequential(block(256, 512), nn.Conv2d(512, outputs, 1))
            self.lift = nn.Sequential(block(256, 128, 1), nn.Upsample(scale_factor=2, mode="nearest"))
            self.fine = nn.Sequential(block(384, 256), nn.Conv2d(256, outputs, 1))

        def forward(self, x):
            route = self.stem(x)
            deep = self.deep(route)
            return self.coarse(deep), self.fine(torch.cat([self.lift(deep), route], 1))

    return YoloTiny()


def make(name):
    """The network in inference mode, with seeded weights and statistics."""
    import torch
    import torchvision
    torch.manual_seed(0)
    own = {"unet": unet, "yolo_tiny": yolo_tiny}
    model = own[name](torch) if name in own else getattr(torchvision.models, name)(weights=None)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.2, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
    return model.eval()


def export(name, path):
    """Writes the model, and fails when the exporter folded a BatchNormalization or the output is no good to compare."""
    import onnx
    import torch
    model = make(name)
    size = NETWORKS[name]
    x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        outputs = model(x)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for output in outputs:
        if not torch.isfinite(output).all() or float(output.std()) == 0:
            raise SystemExit(f"{name}: the output is not finite, or constant")
    names = [f"y{i}" for i in range(len(outputs))]
    torch.onnx.export(model, x, path, opset_version=13, training=torch.onnx.TrainingMode.PRESERVE,
                      do_constant_folding=True, input_names=["x"], output_names=names,
                      dynamic_axes={key: {0: "batch"} for key in ["x"] + names})
    norms = sum(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    kept = sum(node.op_type == "BatchNormalization" for node in onnx.load(path).graph.node)
    if kept != norms or not norms:
        raise SystemExit(f"{name}: {norms} BatchNorm2d modules, but {kept} BatchNormalization nodes were exported")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in NETWORKS:
        raise SystemExit(f"usage: networks.py NAME FILE.onnx, where NAME is one of {', '.join(NETWORKS)}")
    export(*sys.argv[1:])
