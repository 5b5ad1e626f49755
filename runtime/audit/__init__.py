"""Is a record true? What follows from it is computed again, and what does not is told apart."""

from __future__ import annotations

from .record import FORGED, HONEST, STALE, Audit, audit_record
from .rounds import Round, read_round, write_round

__all__ = ["FORGED", "HONEST", "STALE", "Audit", "Round", "audit_record", "read_round", "write_round"]
