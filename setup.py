"""The one compiled module: all else about the package is in pyproject.toml.

It is optional. Where no compiler takes it (gcc and clang on 64-bit machines do), installing goes on without it, and
``runtime/noise/draw.py`` draws the same bits in NumPy; ``biqa doctor`` says which of the two it is.
"""

from __future__ import annotations

import sysconfig

from setuptools import Extension, setup

# One build serves Python 3.11 and every later one. Free-threaded Python has no such stable interface.
stable = not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    ext_modules=[
        Extension(
            "runtime.noise._noise",
            ["runtime/noise/_noise.c"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if stable else [],
            py_limited_api=stable,
            extra_compile_args=["-O3"],
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if stable else {},
)
