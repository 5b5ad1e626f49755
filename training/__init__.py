"""Training and evaluation of the metric and the denoiser, in PyTorch. See ``biqa train --help``."""
