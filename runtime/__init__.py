"""A bundle and a frame → a certified quality score. Needs numpy, scipy and onnxruntime; no torch.

import runtime

with runtime.Certifier(epsilon=0.1) as certifier:
    certificate = certifier.certify(frame)      # uint8 or uint16 H×W×3 RGB
"""

from __future__ import annotations

from .bundle import Bundle, open_bundle
from .certificate import Certificate, Provenance
from .certifier import Certifier
from .decisions import Comparison, Gate, Pooled
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
    VideoError,
)
from .plan import Plan
from .planes import Conversion, rgb_from_planes
from .pooling import pool
from .version import __version__

__all__ = [
    "__version__",
    "BiqaError",
    "Bundle",
    "BundleError",
    "Certificate",
    "Certifier",
    "Comparison",
    "Conversion",
    "ConversionError",
    "DependencyError",
    "DeviceError",
    "ExportError",
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
    "VideoError",
]
