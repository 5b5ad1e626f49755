"""Ray: a corpus certified by a pool of actors, each with an engine of its own; the same bits as one process.

The noise key of a frame follows from the secret, its content and the model. So a frame gives the same scores whichever
actor takes it, and again after a retry or another split.

>>> import ray
>>> from bindings.ray import CertifyFiles, Job
>>> job = Job({"epsilon": 0.1}, secret_file="secret")
>>> files = ray.data.from_items([{"path": "a.png"}, {"path": "b.mp4"}])  # doctest: +SKIP
>>> frames = files.map_batches(CertifyFiles, fn_constructor_args=(job,), batch_size=1, concurrency=4)  # doctest: +SKIP
"""

from __future__ import annotations

from .actors import CertifyFiles, LogFiles, ScoreShards, survey
from .job import Job

__all__ = ["CertifyFiles", "Job", "LogFiles", "ScoreShards", "survey"]
