"""Every error the product raises on purpose, in one tree.

::

    BiqaError                      catch this to catch all of them
    ├── FrameError(ValueError)     the pixels: shape, dtype, depth, size
    ├── VideoError(OSError)        the file: missing, damaged, cut, without frames
    ├── ConversionError(ValueError)  planes that cannot be turned into RGB without guessing
    ├── ParameterError(ValueError) epsilon, alpha, samples, scope, a secret
    ├── BundleError(ValueError)    a bundle that is missing, altered or from another schema
    ├── ModelError(RuntimeError)   the network itself: NaN scores, a frame it cannot take
    ├── DeviceError(RuntimeError)  the device asked for is not there
    ├── DependencyError(ImportError)  an optional package is not installed
    ├── RecordError(ValueError)    a record that cannot be read or replayed
    └── ExportError(RuntimeError)  a network that cannot be exported, and why

Each is also the built-in a caller would expect, and each message says what was wrong, what was found
and what to do.
"""

from __future__ import annotations


class BiqaError(Exception):
    """Base of every error raised on purpose."""


class FrameError(BiqaError, ValueError):
    """A frame that is not an H×W×3 RGB array of the stated depth, or is too small."""


class VideoError(BiqaError, OSError):
    """A file, a still or a video, that is missing, damaged, cut short or has no frames."""


class ConversionError(BiqaError, ValueError):
    """Planes whose conversion to RGB is unknown or refused (HDR transfer, unknown matrix)."""


class ParameterError(BiqaError, ValueError):
    """A parameter outside its range, or a combination that cannot give a bound."""


class BundleError(BiqaError, ValueError):
    """A bundle that is missing, damaged, altered or of an unknown schema version."""


class ModelError(BiqaError, RuntimeError):
    """The network failed on this input or returned scores that are not numbers."""


class DeviceError(BiqaError, RuntimeError):
    """The device asked for cannot be used; nothing was run elsewhere instead."""


class DependencyError(BiqaError, ImportError):
    """An optional package is missing; the message holds the install command."""


class RecordError(BiqaError, ValueError):
    """A record that is not one of ours, or belongs to another input, model or secret."""


class ExportError(BiqaError, RuntimeError):
    """A network that cannot be loaded, fused, exported or verified."""
