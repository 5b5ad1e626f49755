"""Torture: seeded cases that try to make the product crash, hang, lose or certify what it should not."""
