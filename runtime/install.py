"""An extra → the line that installs its packages, from a checkout and from a wheel alike.

The package itself is not on an index, so ``pip install 'stochastic-biqa[video]'`` finds nothing. What an extra brings
is: the line names those packages, with the versions that pyproject.toml asks for.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["pip_install", "packages"]

DISTRIBUTION = "stochastic-biqa"

_REQUIREMENT = re.compile(r"\s*([^;]+?)\s*(?:;(.*))?")
_NAME = re.compile(r"[^\w.-]")
_EXTRA = re.compile(r"""\bextra\s*==\s*["']([^"']+)["']""")
_OWN = re.compile(rf"{DISTRIBUTION}\[([^\]]+)\]")


def pip_install(extra: str, *names: str) -> str:
    """The line for an extra, as in ``pip install 'av>=17' 'pillow>=11'``. ``names``: of the packages, none for all."""
    chosen = [package for package in packages(extra) if not names or _NAME.split(package)[0] in names]
    return "pip install " + " ".join(f"'{package}'" for package in chosen)


def packages(extra: str) -> tuple[str, ...]:
    """The packages of an extra, those of the extras it names among them, as pip takes them: ``av>=17``.
    Raises KeyError for an extra that is none.

    What a package is asked for on some systems only is named on all of them.
    """
    found: dict[str, None] = {}
    for package in _extras()[extra]:
        own = _OWN.fullmatch(package)
        named = (package,) if own is None else [held for extra in own[1].split(",") for held in packages(extra)]
        found |= dict.fromkeys(named)
    return tuple(found)


@cache
def _extras() -> dict[str, list[str]]:
    """Extra → its packages, without their markers: of the installed distribution, else of the checkout."""
    from importlib import metadata

    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        required = _required_by_checkout()
    extras: dict[str, list[str]] = {}
    for requirement in required:
        package, marker = _parts(requirement)
        if (named := _EXTRA.search(marker)) is not None:
            extras.setdefault(named[1], []).append(package)
    return extras


def _required_by_checkout() -> list[str]:
    """What pyproject.toml beside the packages asks for, in the words of an installed distribution."""
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    return [
        f"{package}; {marker + ' and ' if marker else ''}extra == '{extra}'"
        for extra, requirements in project["optional-dependencies"].items()
        for package, marker in map(_parts, requirements)
    ]


def _parts(requirement: str) -> tuple[str, str]:
    """(package with its version, marker) of a requirement."""
    match = _REQUIREMENT.fullmatch(requirement)
    assert match is not None
    return match[1], (match[2] or "").strip()
