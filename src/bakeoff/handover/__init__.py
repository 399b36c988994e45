"""The best model of a study, ready for others: chosen, calibrated, described, published. No torch.

best   which run it is; its model folder, copied to `<study folder>/best`
trust  what validation says of its confidence, stored in its config.json
card   what there is to know of it, as README.md
push   to the Hugging Face Hub
"""

from bakeoff.handover.best import best_run, hand_over

__all__ = ["best_run", "hand_over"]
