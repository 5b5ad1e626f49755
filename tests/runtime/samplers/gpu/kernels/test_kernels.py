"""The GPU kernels' arithmetic, run on the host: every bit against NumPy."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from runtime.errors import BundleError, ParameterError
from runtime.frames.lattice import sigma_in_steps, steps, to_lattice
from runtime.frames.tiles import tiling
from runtime.noise.draw import draw_noise, key_words
from runtime.noise.table import CELLS, NoiseTable, noise_table
from runtime.samplers.gpu.kernels import (
    KERNELS,
    SOURCES,
    TILE,
    choose_file,
    cubin_file,
    lattice_grid,
    noise_grid,
    ptx_file,
    scores_grid,
    source,
    tiles_grid,
)
from runtime.samplers.gpu.kernels.table import BUCKET, DeviceTable, device_table
from tests.support.kernel_host import COMPILER, Host, Output, aligned, compile_host

KEY = bytes(range(7, 23))
NO_WHOLE_CELLS = Fraction(26500)
"""In lattice units, as at 16 bits and k = 2: no value owns a whole cell, all noise comes from stream 1."""


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    if COMPILER is None:
        pytest.skip("g++ is not installed: the GPU kernels cannot be run on the host")
    return compile_host(tmp_path_factory.mktemp("kernels"))


def _decoded(table: DeviceTable) -> np.ndarray:
    """int32[65536]: the value of each cell as ``cell_value`` in noise.cu reads it."""
    cell = np.arange(CELLS)
    up_to = (np.uint64(2) << (cell % BUCKET).astype(np.uint64)) - np.uint64(1)
    passed = np.bitwise_count(table.jumps[cell // BUCKET] & up_to)
    return table.lowest + table.ranks[cell // BUCKET].astype(np.int32) + passed


@pytest.mark.parametrize("sigma", [Fraction(1, 2), Fraction(306, 10), Fraction(1224, 10), Fraction(1966)])
def test_device_table_is_the_noise_table(sigma: Fraction) -> None:
    table = noise_table(sigma)
    device = device_table(table)
    assert np.array_equal(_decoded(device)[: table.whole], table.cells[: table.whole])
    values = device.residual_lowest + np.arange(len(device.upper) + 1)
    assert np.array_equal(values, table.residual_values)
    assert device.jumps.nbytes + device.ranks.nbytes == 12 * 1024


def test_table_with_a_gap_is_refused() -> None:
    table = noise_table(Fraction(3, 2))
    cells = np.where(table.cells > 1, table.cells + 1, table.cells)
    with pytest.raises(ParameterError, match="consecutive"):
        device_table(
            NoiseTable(cells, table.whole, table.residual_values, table.residual_upper, 0.0, cells.astype(np.float32))
        )


def _noisy(
    host: Host,
    kernel: str,
    values: np.ndarray,
    table: NoiseTable,
    start: int,
    count: int,
    *unit: np.float32,
    resident: int = 3,
    backwards: bool = False,
) -> np.ndarray:
    """What a noise kernel writes for a batch, in the shape of the engine's input."""
    device = device_table(table)
    out = Output((count, *values.shape), np.float16 if unit else np.float32)
    host.launch(
        kernel,
        noise_grid(values.size, count, resident),
        aligned(values),
        values.size,
        count,
        *device.arguments(*(array.ctypes.data for array in (device.jumps, device.ranks, device.upper))),
        *map(int, key_words(KEY)),
        start,
        *unit,
        out.array,
        backwards=backwards,
    )
    assert out.intact()
    return out.array


def _expected(values: np.ndarray, table: NoiseTable, start: int, count: int) -> np.ndarray:
    noise = np.empty((count, *values.shape), np.int32)
    draw_noise(table, KEY, start, noise)
    return noise + values


def _values(bit_depth: int, downscale: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    return rng.integers(0, steps(bit_depth, downscale) + 1, (3, height, width), np.int32)


SETTINGS = {
    "8 bits": sigma_in_steps(0.12, 8, 1),
    "8 bits, k=2": sigma_in_steps(0.12, 8, 2),
    "10 bits": sigma_in_steps(0.12, 10, 1),
    "10 bits, k=2, little noise": sigma_in_steps(0.03, 10, 2),
    "16 bits": sigma_in_steps(0.03, 16, 1),
    "half a step": Fraction(1, 2),
}
SHAPES = {"5×7: 105 values": (5, 7), "37×64: ragged tile": (37, 64), "41×67: nothing divides it": (41, 67)}
BATCHES = {"from 0": (0, 1), "from 5": (5, 3), "from 2⁴⁰": (1 << 40, 2)}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_noise_equals_numpy(host: Host, setting: str, shape: str, batch: str) -> None:
    """Both kernels: integers in float32, and scaled to float16 with NumPy's rounding of the float32 product."""
    table, (start, count) = noise_table(SETTINGS[setting]), BATCHES[batch]
    downscale, bit_depth = (2 if "k=2" in setting else 1), (int(setting.split()[0]) if setting[0].isdigit() else 8)
    values = _values(bit_depth, downscale, *SHAPES[shape])
    expected = _expected(values, table, start, count).astype(np.float32)
    assert np.array_equal(_noisy(host, "noise_f32", values, table, start, count), expected)
    unit = np.float32(1 / steps(bit_depth, downscale))
    halves = _noisy(host, "noise_f16", values, table, start, count, unit)
    assert np.array_equal(halves.view(np.uint16), (expected * unit).astype(np.float16).view(np.uint16))


def test_noise_without_whole_cells(host: Host) -> None:
    """Every value of a tile is residual: the queue fills four times."""
    table, values = noise_table(NO_WHOLE_CELLS), _values(16, 2, 40, 37)
    assert table.whole == 0
    assert np.array_equal(_noisy(host, "noise_f32", values, table, 9, 2), _expected(values, table, 9, 2))


def test_a_word_equal_to_a_threshold(host: Host) -> None:
    """Thresholds that are the very words drawn: each word counts itself, as ``searchsorted(side="right")`` does."""
    words = np.random.Philox(key=key_words(KEY), counter=[0, 6, 1, 0]).random_raw(60)
    cells = np.zeros(CELLS, np.int32)
    table = NoiseTable(cells, 0, np.arange(-30, 31, dtype=np.int32), np.sort(words), 0.0, cells.astype(np.float32))
    values = np.zeros((3, 4, 5), np.int32)
    noisy = _noisy(host, "noise_f32", values, table, 6, 1)
    assert sorted(noisy.ravel()) == list(range(-29, 31))
    assert np.array_equal(noisy, _expected(values, table, 6, 1))


@pytest.mark.parametrize("resident", [1, 2, 100])
def test_noise_does_not_depend_on_the_launch(host: Host, resident: int) -> None:
    """Any number of blocks and either order of the threads: no barrier is missing."""
    for sigma in (Fraction(1224, 10), Fraction(1966)):
        table, values = noise_table(sigma), _values(8, 2, 50, 60)
        expected = _expected(values, table, 3, 2)
        for backwards in (False, True):
            noisy = _noisy(host, "noise_f32", values, table, 3, 2, resident=resident, backwards=backwards)
            assert np.array_equal(noisy, expected)


@pytest.mark.parametrize("unit", [1.0, 0.5, 2.0**-24, 2.0**-25, 40.0, 1 / 1023])
def test_halves_are_rounded_to_even(host: Host, unit: float) -> None:
    """Ties, subnormal halves and overflow to infinity."""
    table, values = noise_table(Fraction(1966)), _values(8, 1, 20, 30)
    factor = np.float32(unit)
    halves = _noisy(host, "noise_f16", values, table, 0, 2, factor)
    with np.errstate(over="ignore"):
        expected = (_expected(values, table, 0, 2).astype(np.float32) * factor).astype(np.float16)
    assert np.array_equal(halves.view(np.uint16), expected.view(np.uint16))


@pytest.mark.parametrize("downscale", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(3, 3), (9, 70), (47, 33)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lattice_equals_numpy(host: Host, dtype: type, height: int, width: int, downscale: int) -> None:
    """Rows tightly packed, and rows of a padded upload; what fills no box is cropped."""
    rng = np.random.default_rng(height)
    padded = rng.integers(0, np.iinfo(dtype).max, (height, width + 5, 3), dtype, endpoint=True)
    padded[:2, :2] = np.iinfo(dtype).max
    name = "lattice_u8" if dtype == np.uint8 else "lattice_u16"
    for frame in (padded, padded[:, :width]):
        expected = to_lattice(np.ascontiguousarray(frame), downscale=downscale).values
        h, w = expected.shape[1:]
        out = Output(expected.shape, np.int32)
        host.launch(name, lattice_grid(h, w), frame, frame.strides[0] // frame.itemsize, downscale, h, w, out.array)
        assert np.array_equal(out.array, expected)
        assert out.intact()


@pytest.mark.parametrize(("count", "offset"), [(1, 0), (7, 3), (300, 41)])
def test_scores_are_gathered_with_their_nan(host: Host, count: int, offset: int) -> None:
    batch = np.random.default_rng(count).integers(0, 2**32, count + 5, np.uint32)
    batch[:1] = 0x7FA00001  # a signalling NaN with a payload
    scores = Output((offset + count + 2,), np.uint32)
    before = scores.array.copy()
    host.launch("gather_scores", scores_grid(count), batch, count, offset, scores.array)
    assert np.array_equal(scores.array[offset : offset + count], batch[:count])
    assert np.array_equal(scores.array[:offset], before[:offset])
    assert np.array_equal(scores.array[offset + count :], before[offset + count :])
    assert scores.intact()


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("height", "width", "tile"), [(32, 48, 16), (35, 51, 16), (9, 40, 16), (23, 17, 9)])
@pytest.mark.parametrize(("samples", "first", "count"), [(1, 0, 4), (2, 3, 7), (3, 0, 60)])
def test_tiles_are_cut_as_numpy_cuts_them(
    host: Host, height: int, width: int, tile: int, samples: int, first: int, count: int, backwards: bool
) -> None:
    """Tiles of several samples one after another, mirrored where they are small, zeros behind the last."""
    cut = tiling(height, width, tile)
    frames = np.random.default_rng(height).normal(size=(samples, 3, height, width)).astype(np.float32)
    every = np.zeros((max(first + count, samples * cut.count), 3, tile, tile), np.float32)
    for sample, frame in enumerate(frames):
        cut.cut(frame, 0, every[sample * cut.count : (sample + 1) * cut.count])
    edges = [np.array(edges, np.int32) for edges in (cut.row_edges, cut.column_edges)]
    out = Output((count, 3, tile, tile), np.float32)
    places = (edges[0], cut.rows, edges[1], cut.columns)
    arguments = (frames, samples, height, width, *places, tile, first, count, out.array)
    host.launch("cut_tiles", tiles_grid(tile, count), *arguments, backwards=backwards)
    np.testing.assert_array_equal(out.array, every[first : first + count])
    assert out.intact()


def test_constants_and_arguments_are_those_of_the_source() -> None:
    noise = source("noise")
    defined = {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)", noise)}
    assert defined["BUCKETS"] * BUCKET == CELLS
    assert defined["THREADS"] * defined["LANES"] == TILE
    letters = {"int": "i", "u32": "I", "u64": "Q", "float": "f"}
    for name, kernel in KERNELS.items():
        parameters = re.search(rf"\b{name}\(([^)]*)\)", source(kernel.module))
        assert parameters is not None
        types = [p.strip().removeprefix("const ").split()[0] for p in parameters[1].split(",")]
        found = "".join("P" if "*" in p else letters[t] for p, t in zip(parameters[1].split(","), types, strict=True))
        assert found == kernel.arguments
    assert KERNELS["noise_f32"].block == KERNELS["noise_f16"].block == (defined["THREADS"], 1, 1)


def test_no_more_blocks_than_work_or_room() -> None:
    assert noise_grid(TILE, 4, 1000) == (4, 1)
    assert noise_grid(TILE + 1, 4, 1000) == (8, 1)
    assert noise_grid(TILE * 100, 4, 66) == (66, 1)


def test_a_device_loads_the_nearest_machine_code() -> None:
    files = [cubin_file(module, sm) for module in SOURCES for sm in (80, 86, 90, 120)]
    files += [ptx_file(module) for module in SOURCES]
    chosen = {
        (8, 0): "kernels/noise.sm_80.cubin",
        (8, 9): "kernels/noise.sm_86.cubin",
        (9, 0): "kernels/noise.sm_90.cubin",
        (10, 0): "kernels/noise.ptx",
        (12, 1): "kernels/noise.sm_120.cubin",
    }
    for (low, _), (high, _) in pairwise(chosen.items()):
        assert low < high
    for capability, name in chosen.items():
        assert choose_file(files, "noise", capability) == name
    with pytest.raises(BundleError, match=r"compute capability 7\.5"):
        choose_file(files[:-3], "noise", (7, 5))
