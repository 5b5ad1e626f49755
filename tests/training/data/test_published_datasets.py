"""published_datasets.py on miniature copies of the published folders; training on pictures that differ in size."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from runtime.errors import DependencyError
from training.__main__ import main
from training.data.photographs import Photograph
from training.data.published_datasets import READERS, clive, kadid10k, koniq10k, spaq, tid2013
from training.data.training_set import held_back_split, read_domain
from training.networks.mobilenet import mobilenet_v1_025
from training.recipes.metric import MetricConfig, train_metric


def _picture(path: Path, width: int = 80, height: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(list(path.name.encode())).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(values).save(path)


def _koniq10k(folder: Path) -> None:
    rows = [("1.jpg", 1, "training"), ("2.jpg", 100, "validation"), ("3.jpg", 50.5, "test")]
    lines = [f"{name},0.0,0.0,0.2,0.7,0.1,105,{mos},0.5,{part}\n" for name, mos, part in rows]
    table = folder / "koniq10k_distributions_sets.csv"
    table.write_text("image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set\n" + "".join(lines))
    for name, _, _ in rows:
        _picture(folder / "512x384" / name)


def _kadid10k(folder: Path) -> None:
    lines = ["dist_img,ref_img,dmos,var\n"]
    for reference in range(1, 11):
        _picture(folder / "images" / f"I{reference:02}.png")
        for kind in (1, 25):
            for level in (1, 5):
                name = f"I{reference:02}_{kind:02}_{level:02}.png"
                lines.append(f"{name},I{reference:02}.png,{6 - level},0.4\n")
                _picture(folder / "images" / name)
    (folder / "dmos.csv").write_text("".join(lines))


def _clive(folder: Path) -> None:
    (folder / "Data").mkdir()
    names = [f"t{i}.bmp" for i in range(1, 8)] + ["3.bmp", "4.bmp", "5.bmp"]
    cells = np.empty((len(names), 1), object)
    cells[:, 0] = names
    scores = np.array([[*range(10, 17), 0.0, 25.0, 100.0]])
    savemat(folder / "Data" / "AllImages_release.mat", {"AllImages_release": cells})
    savemat(folder / "Data" / "AllMOS_release.mat", {"AllMOS_release": scores})
    for index, name in enumerate(names):
        _picture(folder / ("Images/trainingImages" if index < 7 else "Images") / name)


def _sheet(folder: Path, rows: Sequence[Sequence[object]]) -> None:
    (folder / "Annotations").mkdir(exist_ok=True)
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(folder / "Annotations" / "MOS and Image attribute scores.xlsx")


def _spaq(folder: Path) -> None:
    rows = [("00001.jpg", 34.3, 45), ("00002.jpg", 0, 45), ("00003.jpg", 100, 45)]
    _sheet(folder, [("Image name", "MOS", "Brightness"), *rows, (None, None, None)])
    for name, _, _ in rows:
        _picture(folder / "TestImage" / name)


def _tid2013(folder: Path) -> None:
    lines = []
    for reference in range(1, 11):
        for kind in (1, 24):
            lines.append(f"{reference * 0.9:.5f} I{reference:02}_{kind:02}_1.bmp\n")
            _picture(folder / "distorted_images" / f"i{reference:02}_{kind:02}_1.BMP")
    (folder / "mos_with_names.txt").write_text("".join(lines))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "koniq10k": _koniq10k,
    "kadid10k": _kadid10k,
    "clive": _clive,
    "spaq": _spaq,
    "tid2013": _tid2013,
}


def _by_name(photographs: Sequence[Photograph]) -> dict[str, Photograph]:
    return {p.path.name: p for p in photographs}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_says_which_picture_or_table_is_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=str(tmp_path)):
        READERS[name](tmp_path)
    LAYOUTS[name](tmp_path)
    photographs = READERS[name](tmp_path)
    assert photographs == READERS[name](tmp_path)
    assert all(0 <= p.mos <= 1 and p.split in ("train", "val", "test") for p in photographs)
    photographs[1].path.unlink()
    with pytest.raises(ValueError, match=f"(?i)1 pictures of .* the first is .*{photographs[1].path.stem}"):
        READERS[name](tmp_path)


def test_koniq10k(tmp_path: Path) -> None:
    _koniq10k(tmp_path)
    photographs = _by_name(koniq10k(tmp_path))
    assert [(p.mos, p.split) for p in photographs.values()] == [(0, "train"), (1, "val"), (0.5, "test")]
    for name in photographs:
        _picture(tmp_path / "1024x768" / name)
    assert koniq10k(tmp_path)[0].path.parent.name == "1024x768"
    table = tmp_path / "koniq10k_distributions_sets.csv"
    text = table.read_text()
    for there, instead, told in (
        ("validation", "dev", "'dev' as set of 2.jpg"),
        ("MOS", "score", "no column MOS"),
        ("3.jpg", "", "line 4 of .* has no image_name"),
        ("50.5", "good", "3.jpg is 'good', not a number"),
        ("50.5", "nan", "3.jpg is nan, outside the scale of 1 … 100"),
    ):
        table.write_text(text.replace(there, instead))
        with pytest.raises(ValueError, match=told):
            koniq10k(tmp_path)


@pytest.mark.parametrize(("name", "kinds"), [("kadid10k", {"01", "25"}), ("tid2013", {"01", "24"})])
def test_no_reference_is_on_two_sides(name: str, kinds: set[str], tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path)
    photographs = READERS[name](tmp_path)
    assert {p.subset for p in photographs} == kinds
    assert {p.path.name[1:3] for p in photographs if p.split == "val"} == {"05", "10"}
    train = [p for p in photographs if p.split == "train"]
    learn, watch = held_back_split(train, 0.25, seed=1)
    assert sorted([*learn, *watch]) == list(range(len(train)))
    assert len({train[i].reference for i in watch}) == 2
    assert not {train[i].reference for i in watch} & {train[i].reference for i in learn}


def test_kadid10k_dmos_grows_with_quality(tmp_path: Path) -> None:
    _kadid10k(tmp_path)
    photographs = _by_name(kadid10k(tmp_path))
    assert len(photographs) == 40
    assert photographs["I01_01_01.png"].mos == 1
    assert photographs["I01_01_05.png"].mos == 0
    (tmp_path / "dmos.csv").write_text("dist_img,ref_img,dmos,var\nphoto.png,I01.png,2,1\n")
    with pytest.raises(ValueError, match=r"names photo\.png"):
        kadid10k(tmp_path)


def test_clive_leaves_out_the_examples(tmp_path: Path) -> None:
    _clive(tmp_path)
    assert {n: p.mos for n, p in _by_name(clive(tmp_path)).items()} == {"3.bmp": 0, "4.bmp": 0.25, "5.bmp": 1}
    table = tmp_path / "Data" / "AllMOS_release.mat"
    savemat(table, {"AllMOS_release": np.ones((1, 9))})
    with pytest.raises(ValueError, match=r"10 pictures, .* 9 scores"):
        clive(tmp_path)
    savemat(table, {"mos": np.ones((1, 10))})
    with pytest.raises(ValueError, match=r"no variable AllMOS_release: found \['mos'\]"):
        clive(tmp_path)


def test_spaq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _spaq(tmp_path)
    assert [p.mos for p in spaq(tmp_path)] == pytest.approx([0.343, 0, 1])
    _sheet(tmp_path, [("Image name", "MOS"), ("00001.jpg", None)])
    with pytest.raises(ValueError, match=r"00001\.jpg is None, not a number"):
        spaq(tmp_path)
    _sheet(tmp_path, [("Image name", "Brightness"), ("00001.jpg", 1)])
    with pytest.raises(ValueError, match=r"no column MOS: found \['Image name', 'Brightness'\]"):
        spaq(tmp_path)
    (tmp_path / "Annotations" / "MOS and Image attribute scores.xlsx").write_text("a,b")
    with pytest.raises(ValueError, match="not an Excel workbook"):
        spaq(tmp_path)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DependencyError, match=r"openpyxl is not installed: pip install 'openpyxl>=3\.1'$"):
        spaq(tmp_path)


def test_tid2013_looks_past_the_case(tmp_path: Path) -> None:
    _tid2013(tmp_path)
    photographs = _by_name(tid2013(tmp_path))
    assert photographs["i10_01_1.BMP"].mos == 1
    assert photographs["i01_24_1.BMP"].mos == pytest.approx(0.1)
    (tmp_path / "mos_with_names.txt").write_text("1.0 I01_01_1.bmp\n\n2.0\n")
    with pytest.raises(ValueError, match=r"line 3 of .* is '2.0'"):
        tid2013(tmp_path)


def test_pictures_of_their_own_are_held_back_as_before() -> None:
    """The committed weights were chosen on this part of their table."""
    learn, watch = held_back_split([Photograph(Path("x.png"), 0.5, "train", "all")] * 50, 0.08, seed=1)
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(np.concatenate([watch, learn]), order)
    assert len(watch) == 4


def test_about_a_fifth_of_the_names_is_val() -> None:
    from training.data.published_datasets import _split_by_name

    splits = [_split_by_name(f"{i:05}.jpg") for i in range(2000)]
    assert 350 < splits.count("val") < 450
    assert [i for i, split in enumerate(splits[:20]) if split == "val"] == [8, 9, 13]


def test_a_size_cuts_the_middle_and_refuses_smaller_pictures(tmp_path: Path) -> None:
    photographs = []
    for index, (width, height) in enumerate([(20, 12), (12, 20), (13, 13)]):
        _picture(tmp_path / f"{index}.png", width, height)
        photographs.append(Photograph(tmp_path / f"{index}.png", 0.5, "train", "all"))
    with pytest.raises(ValueError, match=r"1\.png is \(10, 6\).*first picture \(6, 10\).*--size"):
        read_domain(photographs, 2, progress=False)
    whole = read_domain(photographs[:1], 2, progress=False)
    cut = read_domain(photographs, 2, size=(6, 4), progress=False)
    assert cut.shape == (3, 3, 6, 4)
    np.testing.assert_array_equal(cut[0], whole[0, :, :, 3:7])
    with pytest.raises(ValueError, match=r"0\.png is \(6, 10\) on the domain, smaller than the size \(7, 4\)"):
        read_domain(photographs, 2, size=(7, 4), progress=False)
    with pytest.raises(ValueError, match="holds no picture"):
        read_domain(photographs, 2, size=(-1, 4), progress=False)


def test_metric_takes_pictures_that_are_not_square(tmp_path: Path) -> None:
    _tid2013(tmp_path)
    arrays = {}
    for index, convolution in enumerate(mobilenet_v1_025().convolutions):
        arrays[f"conv{index:02d}.weight"] = convolution.weight.detach().numpy()
        arrays[f"conv{index:02d}.bias"] = convolution.bias.detach().numpy()
    np.savez(tmp_path / "backbone.npz", **arrays)
    config = MetricConfig(network="mobilenet_v1_025", downscale=1, steps=2, batch=4, crop=48, held_back=0.3)
    train_metric(config, tid2013(tmp_path), tmp_path / "backbone.npz", tmp_path / "out", size=(50, 72))
    assert (tmp_path / "out" / "metric.safetensors").is_file()
    with pytest.raises(ValueError, match=r"crop 65 is larger than the pictures, \(64, 80\)"):
        train_metric(replace(config, crop=65), tid2013(tmp_path), tmp_path / "backbone.npz", tmp_path)


def test_the_command_line_reads_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _kadid10k(tmp_path)
    folder = ["--images", str(tmp_path)]
    deterministic = torch.are_deterministic_algorithms_enabled()
    small = ["--steps", "2", "--batch", "4", "--crop", "16", "--held-back", "0.1", "--size", "32", "36"]
    try:
        assert main(["denoiser", "--dataset", "kadid10k", *folder, *small, "--out", str(tmp_path / "out")]) == 0
        assert '"size": [\n    32,\n    36\n  ]' in (tmp_path / "out" / "denoiser.json").read_text()
        few = ["--samples", "2", "--limit", "4", "--json", str(tmp_path / "figures.json")]
        assert main(["evaluate", "--dataset", "kadid10k", *folder, *few]) == 0
        out = capsys.readouterr().out
        assert "pooled" in out
        for arguments, told in (
            (["evaluate", *folder], "--scores is missing"),
            (["evaluate", "--dataset", "clive", *folder, "--scores", "scores.csv"], "--scores is for --dataset table"),
            (["evaluate", "--dataset", "clive", *folder], "AllImages_release.mat is missing"),
            (["evaluate", "--dataset", "kadid10k", *folder, "--split", "test"], "0 pictures of split 'test'"),
        ):
            assert main(arguments) == 2
            assert told in capsys.readouterr().err
    finally:
        torch.use_deterministic_algorithms(deterministic)
