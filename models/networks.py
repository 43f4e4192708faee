"""The networks of models/, as PyTorch modules: each shows one family of places where BatchNormalization is found."""
import torch
from torch import nn
from torch.nn import functional as F


class SeparableBlock(nn.Module):
    """MobileNet's depthwise-separable block: depthwise conv, BN, ReLU6, pointwise conv, BN, ReLU6."""

    def __init__(self, channels_in, channels_out, stride=1):
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(channels_in)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.pointwise_bn = nn.BatchNorm2d(channels_out)
        self.relu6 = nn.ReLU6()

    def forward(self, x):
        x = self.relu6(self.depthwise_bn(self.depthwise(x)))
        return self.relu6(self.pointwise_bn(self.pointwise(x)))


class ResidualBlock(nn.Module):
    """ResNet's basic block; a change of shape goes through a 1x1 conv and BN."""

    def __init__(self, channels_in, channels_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                                          nn.BatchNorm2d(channels_out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class DigitsCnn(nn.Module):
    """A classifier of 8x8 digits. The exported model ends in softmax; training uses `logits`."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.separable1 = SeparableBlock(16, 32)
        self.separable2 = SeparableBlock(32, 32, stride=2)
        self.residual = ResidualBlock(32, 48)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(48, 10)

    def logits(self, x):
        x = self.separable2(self.separable1(self.stem(x)))
        return self.classifier(torch.flatten(self.pool(self.residual(x)), 1))

    def forward(self, x):
        return F.softmax(self.logits(x), dim=1)


class PreactDense(nn.Module):
    """DenseNet: BN and ReLU come before each conv, and read a growing Concat. Its transition is BN, ReLU, 1x1 conv."""

    def __init__(self, channels=8, growth=6, layers=3):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.layers = nn.ModuleList()
        for _ in range(layers):
            self.layers.append(nn.Sequential(
                nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 2 * growth, 1, bias=False),
                nn.BatchNorm2d(2 * growth), nn.ReLU(), nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)))
            channels += growth
        self.transition = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 12, 1, bias=False),
                                        nn.AvgPool2d(2))
        self.last_bn = nn.BatchNorm2d(12)
        self.classifier = nn.Linear(12, 5)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        x = F.relu(self.last_bn(self.transition(x)))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class UnetDecoder(nn.Module):
    """An encoder, and a decoder of transposed convs with BN: plain, with groups, depthwise, with output padding."""

    def __init__(self):
        super().__init__()
        self.down1 = self.conv(3, 8, 1)
        self.down2 = self.conv(8, 16, 2)
        self.down3 = self.conv(16, 32, 2)
        self.up2 = nn.Sequential(nn.ConvTranspose2d(32, 16, 2, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.mix2 = nn.Sequential(nn.ConvTranspose2d(32, 24, 3, padding=1, groups=4), nn.BatchNorm2d(24), nn.ReLU())
        self.up1 = nn.Sequential(
            nn.ConvTranspose2d(24, 24, 3, stride=2, padding=1, output_padding=1, groups=24, bias=False),
            nn.BatchNorm2d(24), nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.mix1 = nn.Sequential(nn.ConvTranspose2d(16, 8, 3, padding=2, dilation=2, groups=2), nn.BatchNorm2d(8),
                                  nn.LeakyReLU(0.1))
        self.head = nn.Conv2d(8, 2, 1)

    @staticmethod
    def conv(channels_in, channels_out, stride):
        return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
                             nn.BatchNorm2d(channels_out), nn.ReLU())

    def forward(self, x):
        level1 = self.down1(x)
        level2 = self.down2(level1)
        y = self.up2(self.down3(level2))
        y = self.up1(self.mix2(torch.cat([y, level2], dim=1)))
        return torch.sigmoid(self.head(self.mix1(torch.cat([y, level1], dim=1))))


class MlpBn(nn.Module):
    """BN after linear layers: with a bias (Gemm), without one (Transpose and MatMul), and before one."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(20), nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(),
            nn.Linear(32, 24, bias=False), nn.BatchNorm1d(24), nn.Tanh(), nn.Linear(24, 16), nn.BatchNorm1d(16),
            nn.Linear(16, 7))

    def forward(self, x):
        return self.layers(x)


class Conv1dBn(nn.Module):
    """A temporal network: dilated, grouped, depthwise and strided 1-D convs with BN, and a transposed one."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(4, 16, 5, padding=2, bias=False), nn.BatchNorm1d(16), nn.PReLU(16))
        self.dilated = nn.ModuleList(
            nn.Sequential(nn.Conv1d(16, 16, 3, padding=rate, dilation=rate, groups=groups, bias=False),
                          nn.BatchNorm1d(16), nn.ReLU()) for rate, groups in ((1, 1), (2, 4), (4, 16)))
        self.down = nn.Sequential(nn.Conv1d(16, 24, 4, stride=2, padding=1), nn.BatchNorm1d(24), nn.Hardswish())
        self.up = nn.Sequential(nn.ConvTranspose1d(24, 6, 4, stride=2, padding=1, groups=2), nn.BatchNorm1d(6))

    def forward(self, x):
        x = self.stem(x)
        for layer in self.dilated:
            x = x + layer(x)
        return self.up(self.down(x))


class Conv3dBn(nn.Module):
    """A video network in the manner of R(2+1)D: spatial, then temporal 3-D convs with BN, pooling, a residual sum."""

    def __init__(self):
        super().__init__()
        self.spatial = nn.Sequential(nn.Conv3d(2, 8, (1, 3, 3), padding=(0, 1, 1), bias=False), nn.BatchNorm3d(8),
                                     nn.ReLU())
        self.temporal = nn.Sequential(nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0), groups=8, bias=False),
                                      nn.BatchNorm3d(8), nn.ReLU())
        self.strided = nn.Sequential(nn.Conv3d(8, 12, 3, stride=2, padding=1, groups=2), nn.BatchNorm3d(12))
        self.shortcut = nn.Sequential(nn.Conv3d(8, 12, 1, stride=2, bias=False), nn.BatchNorm3d(12))
        self.classifier = nn.Linear(12, 4)

    def forward(self, x):
        x = self.temporal(F.max_pool3d(self.spatial(x), (1, 2, 2)))
        x = F.relu(self.strided(x) + self.shortcut(x))
        return F.softmax(self.classifier(torch.flatten(F.adaptive_avg_pool3d(x, 1), 1)), dim=1)


class TrainMode(nn.Module):
    """A small network meant to be exported as it trains: BN normalises with the batch's own statistics."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8, momentum=0.2)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.bn2 = nn.BatchNorm2d(8, eps=1e-3)
        self.linear = nn.Linear(8, 6)
        self.bn3 = nn.BatchNorm1d(6)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.linear(x.mean(dim=(2, 3))))


class BnVariants(nn.Module):
    """What a folder must tell apart. Two outputs: the classes, and a conv's result that a BN reads too."""

    def __init__(self):
        super().__init__()
        self.input_bn = nn.BatchNorm2d(3)
        self.padded = nn.Conv2d(3, 8, 3, padding=1)
        self.no_affine = nn.BatchNorm2d(8, affine=False, eps=1e-3)
        self.shared = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.shared_bn1 = nn.BatchNorm2d(8)
        self.shared_bn2 = nn.BatchNorm2d(8)
        self.tapped = nn.Conv2d(8, 6, 1)
        self.tapped_bn = nn.BatchNorm2d(6)
        self.after_relu_bn = nn.BatchNorm2d(6)
        self.chain_bn = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 4)

    def forward(self, x):
        # BN before a conv that pads with zeros; a conv with a bias, then a BN without scale and bias.
        x = F.relu(self.no_affine(self.padded(self.input_bn(x))))
        # Two nodes share one weight, and a BN follows each.
        x = F.relu(self.shared_bn1(self.shared(x)))
        x = F.relu(self.shared_bn2(self.shared(x)))
        # A conv's result that is also a graph output.
        tapped = self.tapped(x)
        # BN after ReLU, directly followed by another BN.
        x = self.chain_bn(self.after_relu_bn(F.relu(self.tapped_bn(tapped))))
        return F.softmax(self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)), dim=1), tapped
