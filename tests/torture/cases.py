"""All cases, in the order in which they run."""

from __future__ import annotations

from . import bundles, damaged_files, hostile_text, jobs, load, properties

CASES = [*bundles.CASES, *hostile_text.CASES, *damaged_files.CASES, *load.CASES, *jobs.CASES, *properties.CASES]
