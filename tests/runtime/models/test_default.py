"""The model that ships: a real photograph gets a useful certificate, and a worse copy of it a lower score."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from runtime import Certificate, Certifier
from tests.support.clips import photograph


@pytest.fixture(scope="module")
def certifier() -> Certifier:
    return Certifier(samples=101, public_seed=1)


@pytest.fixture(scope="module")
def certificate(certifier: Certifier) -> Certificate:
    return certifier.certify(photograph()[:384, 64:448])


def test_photograph(certificate: Certificate) -> None:
    assert not certificate.abstained
    assert certificate.lower is not None
    assert certificate.upper is not None
    assert 0 <= certificate.lower <= certificate.score <= certificate.upper <= 100
    assert certificate.upper - certificate.lower < 10


def test_a_blurred_copy_scores_lower(certifier: Certifier, certificate: Certificate) -> None:
    sharp = Image.fromarray(photograph()[:384, 64:448])
    blurred = certifier.certify(np.asarray(sharp.resize((48, 48)).resize((384, 384))))
    assert blurred.upper is not None
    assert certificate.lower is not None
    assert blurred.upper < certificate.lower
