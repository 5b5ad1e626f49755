"""What every engine of a bundle refuses, in the same words: sizes it does not take, runs that failed, a closed one."""

from __future__ import annotations

from ..bundle.manifest import InputContract
from ..errors import FrameError, ModelError
from ..frames.lattice import DeviceFrame, Lattice


def check_size(lattice: Lattice, contract: InputContract, name: str) -> None:
    """Raises FrameError for a lattice that is smaller than the model's least, or not of its only size."""
    k = contract.downscale
    if lattice.height < contract.minimum_height or lattice.width < contract.minimum_width:
        raise FrameError(
            f"{name} needs frames of at least {contract.minimum_width * k}×{contract.minimum_height * k}, "
            f"this one fills {lattice.width * k}×{lattice.height * k}"
        )
    fixed = (contract.height or lattice.height, contract.width or lattice.width)
    if fixed != (lattice.height, lattice.width):
        raise FrameError(
            f"{name} was exported for frames of {fixed[1] * k}×{fixed[0] * k} only, this one fills "
            f"{lattice.width * k}×{lattice.height * k}: cut it into tiles of that size, or resize it; a network that "
            "takes any size is exported without --size"
        )


def failed(name: str, lattice: Lattice, error: Exception) -> ModelError:
    """The error of an engine that raised one of its own on this input."""
    return ModelError(f"{name} failed on a {lattice.width}×{lattice.height} input: {first_line(error)}")


def not_fetched(name: str, frame: DeviceFrame, error: Exception) -> ModelError:
    """The error of a driver that raised one of its own on a frame in device memory."""
    height, width, _ = frame.shape
    return ModelError(f"{name} could not fetch a {width}×{height} frame from device memory: {first_line(error)}")


def closed(name: str) -> ModelError:
    """The error of a sampler that is asked after it was closed."""
    return ModelError(f"{name} was closed: open another Certifier")


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind where it has none."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
