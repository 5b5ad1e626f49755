"""biqa.Certify in a real VapourSynth: its props, when they are stale, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import runtime
from tests.support.clips import write_clip
from tests.support.hosts import environment, no_vapoursynth, run_page, vs_python, vs_script
from tests.support.leaks import peak_memory
from tests.support.tiny import tiny_bundle

NO_VAPOURSYNTH = no_vapoursynth()
pytestmark = pytest.mark.skipif(NO_VAPOURSYNTH is not None, reason=str(NO_VAPOURSYNTH))
PYTHON = vs_python() or ""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What vs_scripts/facts.py found, all in one process."""
    folder = tmp_path_factory.mktemp("facts")
    tiny_bundle(folder / "model", samples=61)
    tiny_bundle(folder / "nan", samples=61, extra="nan")
    (folder / "secret").write_bytes(bytes(range(32)))
    write_clip(folder / "clip.mp4", frames=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = vs_script("facts.py", "model", "secret")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_props(facts: dict[str, Any]) -> None:
    """The certificate is the runtime's of the same planes, at the alpha that three frames share."""
    props, expected = facts["props"], facts["expected"]
    assert list(props) == ["BiqaScore", "BiqaLower", "BiqaUpper", "BiqaAssumed", "BiqaRecord", "BiqaDigest"]
    assert json.loads(props["BiqaRecord"]) == expected
    assert [props[f"Biqa{key}"] for key in ("Score", "Lower", "Upper")] == [
        expected[key] for key in ("score", "lower", "upper")
    ]
    assert props["BiqaAssumed"] == "whole"
    assert len(props["BiqaDigest"]) == 64
    assert facts["version"] == runtime.__version__


def test_frames_may_be_asked_for_in_any_order_and_again(facts: dict[str, Any]) -> None:
    assert facts["in_any_order"]
    assert facts["again"]
    assert facts["pixels"]


def test_verify_tells_stale_props(facts: dict[str, Any]) -> None:
    fresh = [what for what, answer in facts["verify"].items() if answer]
    assert fresh == ["untouched", "props added"]
    assert len(facts["verify"]) == 7
    assert "carries no certificate" in facts["not certified"]


def test_subsample(facts: dict[str, Any]) -> None:
    """Frames between carry nothing, not even what they carried before."""
    assert facts["subsample"] == [True, False, True]
    assert facts["subsample alpha"] == 0.0005


def test_public_seed_is_marked(facts: dict[str, Any]) -> None:
    assert facts["seed"] == "public seed"


@pytest.mark.parametrize(
    ("name", "matrix", "range_", "bits", "subsampling", "siting", "assumed"),
    [
        ("limited", "bt709", "limited", 8, "4:2:0", "left", []),
        ("full", "bt709", "full", 8, "4:2:0", "left", []),
        ("older full", "bt709", "full", 8, "4:2:0", "topleft", []),
        ("untagged", "bt601", "limited", 10, "4:2:2", "left", ["matrix", "range", "chroma_location"]),
        ("16 bits", "bt709", "limited", 16, "4:4:4", "left", []),
        ("rgb", "rgb", "full", 8, "4:4:4", "left", []),
    ],
)
def test_conversions(
    facts: dict[str, Any], name: str, matrix: str, range_: str, bits: int, subsampling: str, siting: str,
    assumed: list[str],
) -> None:  # fmt: skip
    assert facts["conversions"][name] == {
        "matrix": matrix,
        "range": range_,
        "bit_depth": bits,
        "subsampling": subsampling,
        "chroma_location": siting,
        "assumed": [*assumed, "whole"],
    }


def test_rgb_is_the_frame(facts: dict[str, Any]) -> None:
    assert facts["rgb is the frame"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("PQ", "PQ (SMPTE ST 2084)"),
        ("HLG", "HLG (ARIB STD-B67)"),
        ("grey", "format Gray8 is not taken"),
        ("float", "format YUV444PS is not taken"),
        ("4:1:1", "format YUV411P8 is not taken"),
        ("matrix", "matrix 7 (ITU-T H.273) is not known"),
        ("siting", "siting 'bottomleft' is not taken"),
        ("tags change", "frame 3 is tagged"),
        ("samples", "cannot bound"),
        ("model", "no bundle at nowhere"),
        ("secret", "not both"),
        ("subsample", "subsample is 1 or more"),
        ("option", "range is one of"),
        ("probe", "no such file"),
        ("count", "the clip has 3 frames, and clip.mp4 holds 5"),
        ("nan", "NaN"),
    ],
)
def test_errors(facts: dict[str, Any], case: str, message: str) -> None:
    assert message in facts["errors"][case]
    assert "biqa: " in facts["errors"][case]


def test_vspipe_fails_where_a_frame_cannot_be_certified(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "nan", samples=61, extra="nan")
    (tmp_path / "a.vpy").write_text(
        "import vapoursynth as vs\nimport bindings.vapoursynth as biqa\n"
        "clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=3)\n"
        "biqa.Certify(clip, model='nan').set_output()\n"
    )
    env = environment(XDG_CONFIG_HOME=str(tmp_path / "config"))
    tools = Path(PYTHON).parent
    subprocess.run([tools / "vapoursynth", "config"], env=env, check=True, capture_output=True)
    command = [tools / "vspipe", "a.vpy", "-"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode != 0
    assert b"returned NaN or infinity" in done.stderr


def test_stopped_early_leaves_nothing(tmp_path: Path) -> None:
    """One frame of a thousand, and the script ends."""
    tiny_bundle(tmp_path / "model", samples=61)
    code = (
        "import vapoursynth as vs, bindings.vapoursynth as biqa\n"
        "clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=1000)\n"
        "print(biqa.verify(biqa.Certify(clip, model='model', epsilon=0.01).get_frame(500)))\n"
    )
    done = subprocess.run(
        [PYTHON, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.long
def test_no_leak_over_2000_frames(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "model")
    script = Path(__file__).parents[1] / "support" / "vs_scripts" / "many.py"

    def peak(frames: int) -> int:
        return peak_memory([PYTHON, str(script), str(tmp_path / "model"), str(frames)])

    assert peak(2000) - peak(200) < 24_000  # KiB: half of one 192×128 frame's planes and lattice a frame


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_page(tmp_path: Path) -> None:
    """docs/vapoursynth.md, command by command."""
    printed = run_page("vapoursynth.md", tmp_path, PYTHON, XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert printed[0].count('"BiqaScore"') == 2
    assert [line.split()[-1] for line in printed[1].splitlines()] == ["True", "True"]
