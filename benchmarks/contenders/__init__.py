"""The contenders, by name: each a module whose `train(job, clock)` returns a net's tensors.

A module follows its project's documented script, and leaves everything at that script's defaults
that `jobs.Job` does not fix. `clock` begins in `import`; the module says when `data`, `train`
(the epochs, each with its look at validation) and `evaluate` (whatever comes after) begin.
"""

CONTENDERS = {
    "bakeoff": "ours",
    "torchvision": "torchvision_loop",
    "timm": "timm_loop",
    "lightning": "lightning_trainer",
    "transformers": "transformers_trainer",
    "fastai": "fastai_learner",
    "keras": "keras_fit",
}
