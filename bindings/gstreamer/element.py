"""The element ``biqa``: frames pass unchanged, and a message on the bus certifies each.

Element messages, all named ``biqa``:

    type=frame     time (ns, of the stream), frame, score, lower, upper, record (JSON, the whole certificate)
    type=summary   at the end: frames, certified, joint-alpha, claim, score, lower, upper (of the mean), complete

Whatever goes wrong is an error message, and the flow ends with an error: no frame passes uncertified in silence.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from bindings.conversion import conversion_of, told_tags
from bindings.gstreamer.api import GLib, GObject, Gst, GstBase
from bindings.gstreamer.buffers import CAPS, Format
from bindings.probe import Probe, probe
from bindings.session import Session, open_certifier
from runtime import BiqaError, Certificate, Certifier, Conversion, ParameterError, VideoError, __version__, pool
from runtime.bounds import pool_intervals
from runtime.results import joint_claim

_UNSET = -1
_FLAGS = GObject.ParamFlags.READWRITE


_MODEL = "; -1: the model's"
_CLAIMS = ("epsilon", "sigma", "levels", "alpha", "samples", "scope", "threads")


def _text(name: str, blurb: str) -> tuple[Any, ...]:
    return (str, name, blurb, None, _FLAGS)


_PROPERTIES = {
    "model": _text("model", "Bundle, a directory or .zip, or the name of one that ships; unset: the default one"),
    "epsilon": (float, "epsilon", f"L2 radius on the RGB frame in [0,1]{_MODEL}", -1.0, 1e9, -1.0, _FLAGS),
    "sigma": (float, "sigma", "Noise level of the model; -1: the best for epsilon", -1.0, 10.0, -1.0, _FLAGS),
    "levels": (float, "levels", "With a model of tiles: grey levels in place of epsilon", -1.0, 1e9, -1.0, _FLAGS),
    "patch": _text("patch", "With a model of tiles: WIDTHxHEIGHT of a rectangle that may hold anything"),
    "alpha": (float, "alpha", f"Error, of all frames if it is known how many{_MODEL}", -1.0, 1.0, -1.0, _FLAGS),
    "samples": (int, "samples", f"Noisy copies a frame{_MODEL}", _UNSET, 10**9, _UNSET, _FLAGS),
    "scope": (str, "scope", "What the interval covers: smoothed or reported", "smoothed", _FLAGS),
    "subsample": (int, "subsample", "Certify every N-th frame", 1, 2**31 - 1, 1, _FLAGS),
    "threads": (int, "threads", "CPU threads of the engine; -1: all cores", _UNSET, 4096, _UNSET, _FLAGS),
    "secret-file": _text("secret file", "At least 16 random bytes, kept to replay the certificates"),
    "public-seed": _text("public seed", "A number: predictable noise, for tests only, marked in the record"),
    "frames": (
        int,
        "frames",
        "Frames that must come, claimed together; -1: any",
        _UNSET,
        2**31 - 1,
        _UNSET,
        _FLAGS,
    ),
    "probe": _text("probe", "The file behind the pipeline: check it, use its colours"),
    "matrix": _text("matrix", "Override the colour matrix"),
    "range": _text("range", "Override the range"),
    "chroma-location": _text("chroma location", "Override the siting of chroma"),
}


class Biqa(GstBase.BaseTransform):  # type: ignore[misc]
    """Certifies the frames that pass; see the module."""

    __gtype_name__ = "Biqa"
    __gstmetadata__ = (
        "Certified image quality",
        "Filter/Analyzer/Video",
        f"Blind image quality scores with certified intervals, stochastic-biqa {__version__}",
        "stochastic-biqa",
    )
    __gsttemplates__ = tuple(
        Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(CAPS))
        for name, direction in (("sink", Gst.PadDirection.SINK), ("src", Gst.PadDirection.SRC))
    )
    __gproperties__ = _PROPERTIES

    def __init__(self) -> None:
        super().__init__()
        self._options = {name: spec[-2] for name, spec in _PROPERTIES.items()}
        self._certifier: Certifier | None = None
        self._session: Session | None = None
        self._probed: Probe | None = None
        self._format: Format | None = None
        self._conversion: Conversion | None = None
        self._failed = False
        self._values: list[tuple[float, float, float]] = []
        self.set_passthrough(True)

    def do_get_property(self, prop: Any) -> Any:
        return self._options[prop.name]

    def do_set_property(self, prop: Any, value: Any) -> None:
        self._options[prop.name] = value

    def do_start(self) -> bool:
        self._failed = False
        return self._guarded(self._open)

    def do_stop(self) -> bool:
        if self._certifier is not None:
            self._certifier.close()
        self._certifier = self._session = self._format = self._conversion = self._probed = None
        return True

    def do_set_caps(self, incaps: Any, outcaps: Any) -> bool:
        return self._guarded(lambda: self._take_caps(incaps))

    def do_transform_ip(self, buffer: Any) -> Any:
        return Gst.FlowReturn.OK if self._guarded(lambda: self._certify(buffer)) else Gst.FlowReturn.ERROR

    def do_sink_event(self, event: Any) -> bool:
        if event.type == Gst.EventType.EOS and not self._guarded(self._finish):
            return False
        if event.type == Gst.EventType.FLUSH_STOP:  # what comes after a seek is another stream
            self._begin()
        return bool(GstBase.BaseTransform.do_sink_event(self, event))

    def _open(self) -> None:
        given = {name: value for name, value in self._options.items() if value not in (None, _UNSET)}
        self._probed = probe(Path(given["probe"])) if "probe" in given else None
        self._certifier = open_certifier(
            given.get("model"),
            secret_file=given.get("secret-file"),
            public_seed=_seed(given.get("public-seed")),
            patch=given.get("patch"),
            **{name: given[name] for name in _CLAIMS if name in given},
        )
        self._begin()

    def _begin(self) -> None:
        if self._certifier is None:
            return
        frames = self._options["frames"]
        count = frames if frames != _UNSET else self._probed.count if self._probed else None
        self._session = Session(self._certifier, self.name, count=count, subsample=self._options["subsample"])
        self._values = []

    def _take_caps(self, caps: Any) -> None:
        self._format = form = Format(caps)
        counted = self._session is not None and self._session.jointly is not None
        told = told_tags(*(self._options[name] for name in ("matrix", "range", "chroma-location")))
        self._conversion = conversion_of(
            *(self.name, form.layout, form.width, form.height),
            told=told,
            file=self._probed,
            host=form.tags,
            counted=counted,
            interlaced=form.interlaced,
        )

    def _certify(self, buffer: Any) -> None:
        if self._session is None or self._format is None or self._conversion is None:
            raise VideoError(f"{self.name}: a buffer came before its caps")
        frame = self._session.seen
        if buffer.has_flags(Gst.BufferFlags.CORRUPTED):
            raise VideoError(f"{self.name}: frame {frame} is damaged, says the decoder")
        certificate = self._session.certify(self._format.planes(buffer), self._conversion)
        if certificate is not None:
            self._values.append((certificate.score, certificate.lower, certificate.upper))
            time = self.segment.to_stream_time(Gst.Format.TIME, buffer.pts)
            self._post(_frame_message(frame, time, certificate))

    def _finish(self) -> None:
        if self._session is None or self._certifier is None:
            raise VideoError(f"{self.name} is not started")
        self._session.finish()
        self._post(_summary(self._session, self._certifier.alpha, self._values))

    def _post(self, values: dict[str, Any]) -> None:
        structure = Gst.Structure.new_empty("biqa")
        for name, value in values.items():
            structure.set_value(name, value)
        self.post_message(Gst.Message.new_element(self, structure))

    def _guarded(self, step: Any) -> bool:
        """Whether a step went well; if not, an error is on the bus, once. An exception would let the frame pass."""
        if self._failed:
            return False
        try:
            step()
        except BiqaError as error:
            self._fail(str(error), type(error).__name__)
        except Exception as error:
            self._fail(f"{type(error).__name__}, a defect of this program: {error}", type(error).__name__)
        else:
            return True
        return False

    def _fail(self, text: str, kind: str) -> None:
        self._failed = True
        error = GLib.Error.new_literal(Gst.StreamError.quark(), text, Gst.StreamError.FAILED)
        self.post_message(Gst.Message.new_error(self, error, kind))


def _seed(text: str | None) -> int | None:
    if text is not None and not re.fullmatch(r"-?\d{1,400}", text):
        raise ParameterError(f"public-seed is a whole number, not {text!r}")
    return None if text is None else int(text)


def _unsigned(value: int) -> Any:
    return GObject.Value(GObject.TYPE_UINT64, value)


def _frame_message(frame: int, time: int, certificate: Certificate) -> dict[str, Any]:
    return {
        "type": "frame",
        "time": _unsigned(time),
        "frame": _unsigned(frame),
        "score": certificate.score,
        "lower": certificate.lower,
        "upper": certificate.upper,
        "record": json.dumps(certificate.to_dict(), allow_nan=False),
    }


def _summary(session: Session, alpha: float, values: list[tuple[float, float, float]]) -> dict[str, Any]:
    """``complete``: whether the number of frames was known, and checked."""
    scores, lower, upper = (list(column) for column in zip(*values, strict=True))
    low, high = pool_intervals(lower, upper)
    joint = alpha if session.jointly else min(1.0, math.fsum([alpha] * len(values)))
    return {
        "type": "summary",
        "frames": _unsigned(session.seen),
        "certified": _unsigned(len(values)),
        "joint-alpha": joint,
        "claim": joint_claim(joint, len(values)),
        "score": pool(scores)["mean"],
        "lower": low["mean"],
        "upper": high["mean"],
        "complete": session.jointly is not None,
    }
