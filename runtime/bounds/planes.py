"""The lowest point of a convex function of a few variables, by cutting planes: Kelley's method in a box.

Every value and slope found is a plane below the function. The lowest point of the highest of all planes is where the
function is asked next, and how low it may still be (Kelley 1960, J. SIAM 8:703). In two or three variables that point
is a vertex of a small polyhedron, whose vertices are kept: a new plane removes those below it and adds those where it
meets as many others as there are variables.

Nothing rests on the result being the lowest: whoever calls it may use any point.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

SLACK = 1e-9
"""Vertices this far below a plane count as on it: values and slopes are of the order of 1."""
FLAT = 1e-13
"""Planes whose normals have a smaller determinant do not meet in a point."""


def lowest_point(
    function: Callable[[Vector], tuple[float, Vector]], start: Vector, side: float, gap: float, steps: int
) -> Vector:
    """x in [0, side]^d where ``function`` is within ``gap`` of its least value there, or the best of ``steps``.

    ``function``: (value, slope [d]) at a point, convex, values of the order of 1.
    """
    variables = len(start)
    # A plane n·(x, t) ≤ r: first the box's sides, then t ≥ the cuts.
    walls = np.concatenate([-np.eye(variables), np.eye(variables)])
    normals = np.concatenate([walls, np.zeros((2 * variables, 1))], axis=1)
    rights = np.repeat([0.0, side], variables)
    vertices = np.empty((0, variables + 1))
    point = best_point = np.asarray(start, float)
    best = np.inf
    for _ in range(steps):
        value, slope = function(point)
        if value < best:
            best, best_point = value, point
        normal, right = np.append(slope, -1.0), float(slope @ point) - value
        vertices = _cut(vertices, normals, rights, normal, right)
        normals, rights = np.concatenate([normals, normal[None]]), np.append(rights, right)
        if not len(vertices):
            break
        low = vertices[vertices[:, -1].argmin()]
        if best - low[-1] <= gap:
            break
        point = np.clip(low[:-1], 0.0, side)
    return best_point


def _cut(vertices: Vector, normals: Vector, rights: Vector, normal: Vector, right: float) -> Vector:
    """The polyhedron's vertices, [k, d + 1], after one more plane."""
    kept = vertices[vertices @ normal <= right + SLACK]
    chosen = np.array(list(combinations(range(len(normals)), len(normal) - 1)))
    systems = np.concatenate([normals[chosen], np.broadcast_to(normal, (len(chosen), 1, len(normal)))], axis=1)
    sides = np.concatenate([rights[chosen], np.full((len(chosen), 1), right)], axis=1)
    meets = np.abs(np.linalg.det(systems)) > FLAT
    points = np.linalg.solve(systems[meets], sides[meets][..., None])[..., 0]
    inside = (points @ normals.T <= rights + SLACK * (1 + np.abs(rights))).all(axis=1)
    return np.concatenate([kept, points[inside]])
