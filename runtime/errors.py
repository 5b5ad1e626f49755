"""Every error the product raises on purpose, in one tree.

::

    BiqaError                      catch this to catch all of them
    ├── FrameError(ValueError)     the pixels: shape, dtype, depth, size
    ├── VideoError(OSError)        the file: missing, damaged, cut, without frames
    ├── ConversionError(ValueError)  planes that cannot be turned into RGB without guessing
    ├── ParameterError(ValueError) epsilon, alpha, samples, scope, device, precision, a secret
    ├── BundleError(ValueError)    a bundle that is missing, altered or from another schema
    ├── ModelError(RuntimeError)   the network itself: NaN scores, a frame it cannot take
    ├── DeviceError(RuntimeError)  the device asked for is not there
    ├── DependencyError(ImportError)  an optional package is not installed
    ├── RecordError(ValueError)    a record that cannot be read or replayed
    ├── ExportError(RuntimeError)  a network that cannot be exported, and why
    └── TrainingError(ValueError)  photographs, opinion scores or weights that cannot be trained with

Each is also the built-in a caller would expect, and each message says what was wrong, what was found
and what to do.
"""

from __future__ import annotations


class BiqaError(Exception):
    """Base of every error raised on purpose.

    >>> import runtime
    >>> try:
    ...     runtime.certify("nothing.png")
    ... except runtime.BiqaError as error:
    ...     print(type(error).__name__)
    VideoError
    """


class FrameError(BiqaError, ValueError):
    """A frame that is not an H×W×3 RGB array of the stated depth, or is too small.

    >>> certifier.certify(frame[0])
    Traceback (most recent call last):
    runtime.errors.FrameError: …
    """


class VideoError(BiqaError, OSError):
    """A file, a still or a video, that is missing, damaged, cut short or has no frames.

    >>> certifier.certify_file("nothing.png")
    Traceback (most recent call last):
    runtime.errors.VideoError: …
    """


class ConversionError(BiqaError, ValueError):
    """Planes whose conversion to RGB is unknown or refused (HDR transfer, unknown matrix).

    >>> import runtime
    >>> runtime.Conversion("bt470", "limited", 8, "4:2:0", "left")
    Traceback (most recent call last):
    runtime.errors.ConversionError: matrix 'bt470' is not known: use one of bt601, bt709, bt2020nc, rgb
    """


class ParameterError(BiqaError, ValueError):
    """A parameter outside its range, or a combination that cannot give a bound.

    >>> import runtime
    >>> runtime.Certifier(epsilon=-1)
    Traceback (most recent call last):
    runtime.errors.ParameterError: epsilon is an L2 radius for values in [0, 1], 0 or more, not -1
    """


class BundleError(BiqaError, ValueError):
    """A bundle that is missing, damaged, altered or of an unknown schema version.

    >>> import runtime
    >>> runtime.open_bundle("nowhere")
    Traceback (most recent call last):
    runtime.errors.BundleError: no bundle at nowhere: …
    """


class ModelError(BiqaError, RuntimeError):
    """The network failed on this input or returned scores that are not numbers.

    >>> import runtime
    >>> with runtime.Certifier(sampler=lambda copies: float("nan") * copies[:, 0, 0, 0], sigma=0.1) as broken:
    ...     broken.certify(frame)
    Traceback (most recent call last):
    runtime.errors.ModelError: <lambda> returned NaN or infinity for 501 of 501 noisy copies of this frame: …
    """


class DeviceError(BiqaError, RuntimeError):
    """The device asked for cannot be used; nothing was run elsewhere instead.

    >>> import runtime
    >>> runtime.Certifier(model, device="cuda")  # doctest: +SKIP
    Traceback (most recent call last):
    runtime.errors.DeviceError: device 'cuda' cannot be used, and nothing is run elsewhere instead. …
    """


class DependencyError(BiqaError, ImportError):
    """An optional package is missing; the message holds the install command.

    >>> import runtime
    >>> try:
    ...     certified = runtime.certify(video)  # where PyAV is not installed
    ... except runtime.DependencyError as error:
    ...     print(error)
    """


class RecordError(BiqaError, ValueError):
    """A record that is not one of ours, or belongs to another input, model or secret.

    >>> from runtime.results.log import read_log
    >>> read_log(photo)
    Traceback (most recent call last):
    runtime.errors.RecordError: … is not a log of …
    """


class ExportError(BiqaError, RuntimeError):
    """A network that cannot be loaded, fused, exported or verified.

    >>> import runtime
    >>> issubclass(runtime.ExportError, RuntimeError)  # what ``biqa build`` raises for a network it refuses
    True
    """


class TrainingError(BiqaError, ValueError):
    """Photographs, opinion scores, weights or a checkpoint that training cannot use.

    >>> import runtime
    >>> issubclass(runtime.TrainingError, ValueError)  # what ``biqa train`` raises for a table it cannot read
    True
    """
