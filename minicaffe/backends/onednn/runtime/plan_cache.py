"""Cache of planned calls, one for each set of arguments."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

Arguments = ParamSpec("Arguments")
Plan = TypeVar("Plan")


def cache_plans(
    method: Callable[Arguments, Plan], max_size: int | None = None
) -> Callable[Arguments, Plan]:
    """Return `functools.lru_cache` of a bound method, for an attribute of the method's object.

    The cache refers to the object weakly: otherwise the two would be a reference cycle, and the
    buffers of a kernel would live until the garbage collector runs. A hit costs no more.
    """
    reference = weakref.WeakMethod(method)

    def plan(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Plan:
        bound = reference()
        assert bound is not None, "the cache is an attribute of the object"
        return bound(*args, **kwargs)

    return cast("Callable[Arguments, Plan]", functools.lru_cache(max_size)(plan))
