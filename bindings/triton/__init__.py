"""Triton: a server that certifies frames. ``python -m export triton`` writes its model repository."""
