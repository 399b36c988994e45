"""The report's two small nets, `baseline` and `custom`, as one chain with options.

Sources: tables 1 and 2 of *Diving Deep for Accuracy with Convolutional Neural Networks*; where the
report contradicts itself, docs/design.md says what was decided. Initialisation: Glorot and Bengio,
"Understanding the difficulty of training deep feedforward neural networks" (2010).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from bakeoff.recipe import NetOptions

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


def small_net(options: NetOptions, num_classes: int) -> nn.Sequential:
    """Return the chain (N, 3, H, W) -> (N, num_classes)."""
    narrow, wide = options.width, 2 * options.width
    activation = ACTIVATIONS[options.activation]

    def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, options.padding, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), activation())

    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, options.pool_stride)

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = conv(3, narrow)
    layers["conv2"] = conv(narrow, wide)
    if options.early_pool:
        layers["early_pool"] = pool()
    layers["conv3"] = conv(wide, wide)
    if options.extra_convs == "around_pool":  # table 2: a strided one, the pool, another, the last
        layers["extra1"] = conv(wide, wide, stride=2)
        layers["pool"] = pool()
        layers["extra2"] = conv(wide, wide)
    elif options.extra_convs == "before_pool":  # the text: both between conv3 and the pool
        layers["extra1"] = conv(wide, wide)
        layers["extra2"] = conv(wide, wide)
        layers["pool"] = pool()
    else:
        layers["pool"] = pool()
    layers["conv4"] = conv(wide, wide, stride=2)
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Sequential(nn.Linear(wide, wide), activation(), nn.Dropout(options.dropout))
    layers["fc2"] = nn.Linear(wide, num_classes)
    if options.relu_logits:
        layers["relu_logits"] = nn.ReLU()
    net = nn.Sequential(layers)
    net.apply(_xavier)
    return net


def _xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
