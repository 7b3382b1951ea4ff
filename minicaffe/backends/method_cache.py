"""Caches of methods that do not keep the method's object alive."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast
from weakref import WeakMethod

Given = ParamSpec("Given")
Result = TypeVar("Result")


def cache_method(method: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return `functools.cache` of a bound method whose object is held weakly.

    For an attribute of that object. With `functools.cache` alone, object and cache would hold each
    other, and only the garbage collector would free the object with its memory.
    """
    weak = WeakMethod(method)

    @functools.cache
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        bound = weak()
        if bound is None:
            raise RuntimeError("the object of this method no longer exists")
        return bound(*args, **kwargs)

    return cast("Callable[Given, Result]", call)
