"""A bundle and a frame → a certified quality score. Needs numpy, scipy and onnxruntime; no torch.

A file, by its path (``photo`` is "photo.png"):

>>> import runtime
>>> certified = runtime.certify(photo)
>>> certified.lower <= certified.score <= certified.upper
True

A frame in memory: a ``Frame`` is an H×W×3 array of uint8 or uint16, RGB; or (planes, conversion); or an array on a GPU.

>>> frame.shape, frame.dtype.name
((96, 128, 3), 'uint8')
>>> with runtime.Certifier(epsilon=0.1) as certifier:
...     certificate = certifier.certify(frame)
>>> certificate.lower <= certificate.score <= certificate.upper
True

The frames of a file, which can be read again and again, as ``gate`` and ``compare`` do:

>>> frames = runtime.FileFrames(photo)
>>> with runtime.Certifier(samples=101) as certifier:
...     len(frames), certifier.gate(frames, at_least=0).decision
(1, 'pass')

The version of the package, a string that every log holds:

>>> runtime.__version__.count(".")
2
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
from .results.decisions import Comparison, Gate
from .results.plan import Plan
from .results.pooled import Pooled
from .results.tampering import Tampering
from .results.tile_certificate import TileCertificate, TileClaim
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
    "Tampering",
    "TileCertificate",
    "TileClaim",
    "TrainingError",
    "VideoError",
]
