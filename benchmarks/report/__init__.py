"""How they print what they measured."""
