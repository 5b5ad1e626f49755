"""What arrays in device memory say of themselves: the CUDA array interface, DLPack, and all that is refused."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Certifier, FrameError
from runtime.frames import dlpack
from runtime.frames.device import device_frame, is_device_frame
from tests.support.device_arrays import CudaArray, DLPackArray, LaterDLPackArray, OldDLPackArray
from tests.support.tiny import tiny_bundle

FRAME = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
DEEP = FRAME.astype(np.uint16) * 4


@pytest.mark.parametrize("frame", [FRAME, DEEP])
@pytest.mark.parametrize("padding", [0, 2, 10])
def test_cuda_array_interface(frame: np.ndarray, padding: int) -> None:
    array = CudaArray(frame, padding=padding)
    assert is_device_frame(array)
    found = device_frame(array)
    assert (found.address, found.shape, found.dtype) == (array.address, frame.shape, frame.dtype)
    assert found.pitch == 21 * frame.itemsize + padding
    assert found.owner is array
    assert "owner" not in repr(found)


@pytest.mark.parametrize(
    "says",
    [
        {"version": 2},
        {"strides": None},
        {"stream": None},
        {"stream": 1},
        {"stream": 2},
        {"stream": 0x7F0000001000},
        {"mask": None},
        {"descr": [("", "|u1")]},
        {"typestr": "u1"},
    ],
)
def test_what_the_interface_may_say(says: dict[str, Any]) -> None:
    assert device_frame(CudaArray(FRAME, **says)).pitch == 21


def test_dimensions_of_one_element_have_no_stride() -> None:
    """PyTorch and NumPy put anything there."""
    assert device_frame(CudaArray(FRAME[:1], strides=(1, 3, 1))).pitch == 21
    assert device_frame(CudaArray(FRAME[:, :1].copy(), strides=(3, 99, 1))).pitch == 3


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ({"shape": (3, 5, 7)}, r"H×W×3 RGB, not an array of shape \(3, 5, 7\)"),
        ({"shape": (5, 7)}, "grey"),
        ({"shape": (5, 7, 4)}, "4 channels"),
        ({"shape": (0, 7, 3), "data": (0, False)}, "empty"),
        ({"typestr": "<f4"}, "uint8 or uint16 code values, not float32"),
        ({"typestr": "<i2"}, "not int16"),
        ({"typestr": ">u2"}, "not >u2"),
        ({"strides": (1, 5, 35)}, r"not packed.*tensor\.contiguous\(\)"),
        ({"strides": (21, 6, 1)}, "not packed"),
        ({"strides": (-21, 3, 1)}, "not packed"),
        ({"strides": (0, 3, 1)}, "not packed"),
        ({"strides": (20, 3, 1)}, "not packed"),
        ({"strides": (2**31, 3, 1)}, "not packed"),
        ({"strides": (21,)}, "not packed"),
        ({"strides": ()}, "not packed"),
        ({"mask": object()}, "masked"),
        ({"stream": 0}, "stream 0"),
        ({"stream": "main"}, "stream 'main'"),
        ({"version": 1}, r"version 1 of.*array\.get\(\) or tensor\.cpu\(\)\.numpy\(\)"),
        ({"version": None}, "version None"),
        ({"data": (0, False)}, r"no usable address \(0\)"),
        ({"data": None}, "incomplete"),
        ({"shape": (5.0, 7, 3)}, "incomplete"),
        ({"typestr": "what?"}, "incomplete"),
    ],
)
def test_what_is_refused(says: dict[str, Any], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        device_frame(CudaArray(FRAME, **says))


def test_pixels_that_lie_across_their_addresses_are_refused() -> None:
    deep = CudaArray(DEEP)
    with pytest.raises(FrameError, match="no usable address"):
        device_frame(CudaArray(DEEP, data=(deep.address + 1, True)))
    with pytest.raises(FrameError, match="not packed"):
        device_frame(CudaArray(DEEP, strides=(43, 6, 2)))


@pytest.mark.parametrize("kind", [DLPackArray, OldDLPackArray])
@pytest.mark.parametrize("frame", [FRAME, DEEP, FRAME[:, :4], DEEP[1:]])
def test_dlpack(kind: Callable[[np.ndarray], DLPackArray], frame: np.ndarray) -> None:
    """NumPy's own capsules, with another device written into them: the array is held and let go."""
    array = kind(frame)
    assert is_device_frame(array)
    found = device_frame(array)
    assert (found.address, found.shape, found.dtype, found.pitch) == (
        frame.ctypes.data, frame.shape, frame.dtype, frame.strides[0],
    )  # fmt: skip


def test_dlpack_keeps_the_array_and_lets_it_go() -> None:
    class Held(np.ndarray):
        """An array that can be watched."""

    pixels = FRAME.copy().view(Held)
    watched = weakref.ref(pixels)
    found = device_frame(DLPackArray(pixels))
    del pixels
    gc.collect()
    assert watched() is not None
    del found
    gc.collect()
    assert watched() is None


def test_dlpack_is_read_as_others_write_it() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(5, 8, 3, dtype=torch.uint16)[:, 1:]
    found = dlpack.export(tensor)
    assert (found.address, found.shape, found.dtype) == (tensor.data_ptr(), (5, 7, 3), np.uint16)
    assert (found.strides, found.device_type) == ((48, 6, 2), 1)
    assert not is_device_frame(tensor)


def test_what_dlpack_cannot_say() -> None:
    told = [
        (DLPackArray(FRAME.astype(np.float32)), "not float32"),
        (DLPackArray(FRAME.astype(bool)), r"DLPack type \(6, 8\) is not one of NumPy's"),
        (DLPackArray(FRAME[:, ::2]), "not packed"),
    ]
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":  # NumPy 2.0 speaks no version
        told.append((LaterDLPackArray(FRAME), r"it speaks DLPack 2\.\d, not 1\.x"))
    for array, message in told:
        with pytest.raises(FrameError, match=message):
            device_frame(array)


def test_a_tensor_that_refuses_its_interface() -> None:
    """As PyTorch does: of a type without a word in the interface, then DLPack has one; or with a gradient."""

    class Tensor(DLPackArray):
        @property
        def __cuda_array_interface__(self) -> Any:
            raise KeyError("uint16")

    assert device_frame(Tensor(DEEP)).dtype == np.uint16

    class Gradient:
        @property
        def __cuda_array_interface__(self) -> Any:
            raise RuntimeError("use var.detach()\nplease")

    assert is_device_frame(Gradient())
    with pytest.raises(FrameError, match=r"cannot be described \(use var.detach\(\)\): pass a host copy"):
        device_frame(Gradient())
    with pytest.raises(FrameError, match="DLPack device type 10, no NVIDIA GPU"):
        device_frame(Tensor(DEEP, device=(10, 0)))


@pytest.mark.parametrize("value", [FRAME, [FRAME], (FRAME, None), iter([FRAME]), DLPackArray(FRAME, (1, 0)), None, 3])
def test_what_is_in_host_memory(value: object) -> None:
    assert not is_device_frame(value)


def _mean(images: np.ndarray) -> np.ndarray:
    return images.mean((1, 2, 3))


@pytest.mark.parametrize("where", ["CPU", "function"])
def test_samplers_without_a_device_refuse(where: str, tmp_path: Path) -> None:
    frame = CudaArray(FRAME)
    given = {"sampler": _mean, "sigma": 0.12} if where == "function" else {"model": tiny_bundle(tmp_path / "b").path}
    message = r"the frame is in device memory, and this sampler does not .*: open the model with device='cuda', or pass"
    with Certifier(**given) as certifier:
        for ask in (
            lambda: certifier.certify(frame),
            lambda: next(certifier.stream([frame])),
            lambda: certifier.gate(frame, at_least=1),
            lambda: certifier.compare(frame, frame),
        ):
            with pytest.raises(FrameError, match=message):
                ask()
