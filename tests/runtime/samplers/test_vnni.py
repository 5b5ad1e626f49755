"""vnni.py: int8 is the same function with and without VNNI."""

from __future__ import annotations

import pytest

from runtime.samplers import vnni


@pytest.mark.parametrize(
    ("flags", "known"),
    [("fma avx2", False), ("avx512f avx512bw avx512vl", False), ("avx2 avx_vnni", True), ("avx512_vnni", True)],
)
def test_exact_products_are_asked_for_where_vnni_is_not_known(
    flags: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vnni, "_flags", lambda: frozenset(flags.split()))
    assert vnni.exact_products() == ("0" if known else "1")
