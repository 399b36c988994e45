"""The net for other runtimes, compared with itself in PyTorch before anybody may use it.

export/model.onnx, model.pt2   the net, with or without its preprocessing
export/onnx.json, torch.json   the contract: what has to happen to a photograph before, and to
                               logits after; and what was measured, which the card repeats
export/golden/                 photographs, and what every runtime must answer to them
"""

from bakeoff.export.command import Exported, export
from bakeoff.export.parity import DriftError

__all__ = ["DriftError", "Exported", "export"]
