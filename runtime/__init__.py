"""A bundle and a frame → a certified quality score. Needs numpy, scipy and onnxruntime; no torch.

import runtime

print(runtime.certify("photo.jpg").score)

with runtime.Certifier(epsilon=0.1) as certifier:
    certificate = certifier.certify(frame)      # uint8 or uint16 H×W×3 RGB
"""

from __future__ import annotations

from .bounds.pooling import pool
from .bundle.store import Bundle, open_bundle
from .certifier import Certifier, certify
from .errors import (
    BiqaError,
    BundleError,
    ConversionError,
    DependencyError,
    DeviceError,
    ExportError,
    FrameError,
    ModelError,
    ParameterError,
    RecordError,
    TrainingError,
    VideoError,
)
from .files.file_frames import FileFrames
from .frames.input import Frame
from .frames.planes import Conversion, rgb_from_planes
from .results.certificate import Certificate, Provenance
from .results.decisions import Comparison, Gate, Pooled
from .results.plan import Plan
from .samplers import Sampler
from .samplers.function import CallableSampler
from .version import __version__

__all__ = [
    "__version__",
    "BiqaError",
    "Bundle",
    "BundleError",
    "CallableSampler",
    "Certificate",
    "Certifier",
    "certify",
    "Comparison",
    "Conversion",
    "ConversionError",
    "DependencyError",
    "DeviceError",
    "ExportError",
    "FileFrames",
    "Frame",
    "FrameError",
    "Gate",
    "ModelError",
    "open_bundle",
    "ParameterError",
    "Plan",
    "pool",
    "Pooled",
    "Provenance",
    "RecordError",
    "rgb_from_planes",
    "Sampler",
    "TrainingError",
    "VideoError",
]
