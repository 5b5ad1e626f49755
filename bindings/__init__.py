"""Hosts that call the runtime: one folder each. They import ``runtime`` and nothing else of the project."""
