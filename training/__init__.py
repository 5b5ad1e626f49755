"""Training and evaluation of the metric and the denoiser, in PyTorch. See ``python -m training --help``."""
