"""The report's two small nets, `baseline` and `custom`, as one chain with options.

Sources: tables 1 and 2 of *Diving Deep for Accuracy with Convolutional Neural Networks*; where the
report contradicts itself, docs/design.md says what was decided. Initialisation: Glorot and Bengio,
"Understanding the difficulty of training deep feedforward neural networks" (2010). What the report
does not have (identity links, gates, blurred steps) names its own source.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from timm.layers.blur_pool import BlurPool2d
from timm.layers.eca import EcaModule
from timm.layers.squeeze_excite import SEModule
from torch import Tensor, nn

from bakeoff.options import NetOptions

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}
GATES: dict[str, Callable[[int], nn.Module]] = {
    "se": SEModule,  # Hu et al., "Squeeze-and-Excitation Networks" (2018); a sixteenth as wide
    "eca": EcaModule,  # Wang et al., "ECA-Net" (2020): a kernel of 3 or 5 weights over channels
}


def small_net(options: NetOptions, num_classes: int) -> nn.Sequential:
    """Return the chain (N, 3, H, W) -> (N, num_classes)."""
    narrow, wide = options.width, 2 * options.width
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = _convolution(options, 3, narrow)
    layers["conv2"] = _convolution(options, narrow, wide)
    if options.early_pool:
        layers["early_pool"] = _pool(options)
    layers["conv3"] = _convolution(options, wide, wide)
    if options.extra_convs == "around_pool":  # table 2: a strided one, the pool, another, the last
        layers["extra1"] = _convolution(options, wide, wide, stride=2)
        layers["pool"] = _pool(options)
        layers["extra2"] = _convolution(options, wide, wide)
    elif options.extra_convs == "before_pool":  # the text: both between conv3 and the pool
        layers["extra1"] = _convolution(options, wide, wide)
        layers["extra2"] = _convolution(options, wide, wide)
        layers["pool"] = _pool(options)
    else:
        layers["pool"] = _pool(options)
    layers["conv4"] = _convolution(options, wide, wide, stride=2)
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    activation = ACTIVATIONS[options.activation]()
    layers["fc1"] = nn.Sequential(nn.Linear(wide, wide), activation, nn.Dropout(options.dropout))
    layers["fc2"] = nn.Linear(wide, num_classes)
    if options.relu_logits:
        layers["relu_logits"] = nn.ReLU()
    net = nn.Sequential(layers)
    net.apply(_xavier)
    return net


class _Residual(nn.Sequential):
    """A convolution, its norm and what follows, whose input is added before the last: activation.

    He et al., "Deep Residual Learning for Image Recognition" (2016). Added after a ReLU, what a
    link gives could only grow (their "Identity Mappings in Deep Residual Networks", 2016).
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        *branch, activation = self
        changed = maps
        for module in branch:
            changed = module(changed)
        outputs: Tensor = activation(changed + maps)
        return outputs


def _convolution(options: NetOptions, inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return one link of the chain: convolution, batch norm, activation, and what options add.

    Gates weigh what a plain link gives; beside an identity link, only what is added to it. A step
    is blurred after the activation, as Zhang has it for strided convolutions.
    """
    blurred = options.blur_pool and stride > 1
    convolution = nn.Conv2d(
        inputs, outputs, 3, 1 if blurred else stride, options.padding, bias=False
    )
    activation = ACTIVATIONS[options.activation]()
    gated = options.attention != "none" and outputs == 2 * options.width
    gates = [GATES[options.attention](outputs)] if gated else []
    branch = [convolution, nn.BatchNorm2d(outputs)]
    if options.residual and inputs == outputs and stride == 1:
        return _Residual(*branch, *gates, activation)
    return nn.Sequential(*branch, activation, *([_blur(stride)] if blurred else []), *gates)


def _pool(options: NetOptions) -> nn.Module:
    stride = options.pool_stride
    if options.blur_pool and stride > 1:
        return nn.Sequential(nn.MaxPool2d(3, 1), _blur(stride))
    return nn.MaxPool2d(3, stride)


def _blur(stride: int) -> nn.Module:
    """Return a binomial filter that takes every `stride`-th pixel, over 2 stride - 1 pixels.

    Zhang, "Making Convolutional Networks Shift-Invariant Again" (2019). Edges are repeated: that
    fits maps of any size, and has a deterministic gradient on GPUs where reflection has none.
    """
    return BlurPool2d(filt_size=2 * stride - 1, stride=stride, pad_mode="replicate")


def _xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
