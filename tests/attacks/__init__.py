"""Bundles made to do harm: each function writes one below a folder, and says what the refusal of it must say."""
