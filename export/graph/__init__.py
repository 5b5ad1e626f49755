"""A PyTorch function → canonical ONNX bytes."""
