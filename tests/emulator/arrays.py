"""A fake CuPy: device arrays that cannot be mixed with host arrays.

It has the functions of CuPy (cupy_names.json, written by list_cupy.py) and refuses what CuPy
refuses: arrays of both kinds in one call, and conversion to a host array except by `get` and
`asnumpy`. Calls that make the host wait for a value are counted, and refused during graph capture.
"""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

_CUPY = json.loads(Path(__file__).with_name("cupy_names.json").read_text())
_HOST_ALLOWED = frozenset({"array", "asarray", "asanyarray", "ascontiguousarray"})
# The shape of the result depends on values, or the function looks at them.
_WAITING = frozenset({"argwhere", "bincount", "compress", "extract", "flatnonzero", "nonzero"})
_WAITING |= frozenset({"unique", "item", "tolist", "tobytes"})
_PLAIN_PROPERTIES = frozenset(
    {"shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides", "flags"}
)
_ARRAY_PROPERTIES = frozenset({"T", "mT", "real", "imag"})
_ARRAY_METHODS = frozenset(
    name for name in _CUPY["array"] if callable(getattr(np.ndarray, name, None))
)
# Methods that take what the functions of the same name take.
_REDUCTIONS = frozenset({"all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "sum"})
_REDUCTIONS |= frozenset({"std", "var"})
_GARBAGE = 0xFF


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array in device memory.

    Parameters
    ----------
    module : ArrayModule
    values : ndarray
        Host view of the memory.
    """

    __slots__ = ("_module", "_values")
    __hash__ = None

    def __init__(self, module, values):
        self._module, self._values = module, values

    def __getattr__(self, name):
        if name in _PLAIN_PROPERTIES:
            return getattr(self._values, name)
        if name in _ARRAY_PROPERTIES:
            return self._module.wrap(getattr(self._values, name))
        if name in _ARRAY_METHODS:
            return self._module.method(self, name)
        raise AttributeError(f"cupy.ndarray of the stand-in has no {name!r}")

    @property
    def data(self):
        """Pointer to the array."""
        return SimpleNamespace(ptr=self._values.ctypes.data)

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "version": 3,
            "strides": None,
            "stream": self._module.device.stream,
        }

    def __dlpack__(self, **options):
        return self._values.__dlpack__(**options)

    def __dlpack_device__(self):
        return (2, 0)  # CUDA, the first card

    def get(self, out=None):
        """Return a copy in host memory."""
        self._module.device.waiting("get")
        if out is None:
            return self._values.copy()
        out[...] = self._values
        return out

    def set(self, values):
        """Overwrite the values with an array of the host of the same type and shape."""
        self._module.device.computing("set")
        if type(values) is not np.ndarray or values.dtype != self.dtype:
            raise TypeError(f"set: not an array of the host of {self.dtype}")
        if values.shape != self.shape:
            raise ValueError(f"set: shape {values.shape} for {self.shape}")
        self._values[...] = values

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if (
            method == "__call__"
            and ufunc is not np.matmul
            and ufunc.__name__ not in _CUPY["ufuncs"]
        ):
            return NotImplemented
        if method != "__call__" and method not in _CUPY["ufuncs"].get(ufunc.__name__, ()):
            return NotImplemented
        return self._module.apply(ufunc.__name__, getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return getattr(self._module, function.__name__)(*args, **kwargs)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use get()")

    def __getitem__(self, key):
        key = _as_tuple(key)
        keys = _host_view(key)
        self._module.device.computing("indexing")
        if any(isinstance(k, np.ndarray) and k.dtype == np.bool_ for k in keys):
            self._module.device.waiting("boolean index")
        # An index of a single element returns a view, as in CuPy.
        if not any(k is Ellipsis for k in keys):
            keys = (*keys, Ellipsis)
        return self._module.wrap(self._values[keys])

    def __setitem__(self, key, value):
        self._module.device.computing("assignment")
        if not isinstance(value, DeviceArray) and not np.isscalar(value):
            raise TypeError(f"{type(value).__name__} cannot be assigned to an array of the device")
        self._values[_host_view(_as_tuple(key))] = _host_view(value)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        self._module.device.waiting("bool")
        return bool(self._values)

    def __repr__(self):
        return f"DeviceArray{self.shape}"


class ArrayModule(ModuleType):
    """The module that has CuPy's functions.

    Parameters
    ----------
    device : EmulatedDevice
        Is notified of computations and of waits of the host.
    """

    ndarray = DeviceArray

    def __init__(self, device):
        super().__init__("emulated_cupy", f"What CuPy {_CUPY['version']} has, over NumPy.")
        self.device = device

    def __getattr__(self, name):
        if name in _CUPY["values"]:
            found = getattr(np, name)
        elif name in _CUPY["ufuncs"]:
            found = _Ufunc(self, name)
        elif name in _CUPY["functions"]:
            found = self._function(name)
        else:
            raise AttributeError(f"the stand-in for CuPy {_CUPY['version']} has no {name!r}")
        setattr(self, name, found)
        return found

    def get_array_module(self, *args):
        """Return this module if an argument is an array of the device, otherwise NumPy."""
        return self if any(isinstance(arg, DeviceArray) for arg in args) else np

    def asnumpy(self, array):
        """Return a copy in host memory."""
        return array.get() if isinstance(array, DeviceArray) else np.asarray(array)

    def over(self, values, memory):
        """Return an array over device memory, which it keeps alive."""
        return DeviceArray(self, np.asarray(_Owned(values, memory)))

    def wrap(self, result):
        """Return a result of NumPy as CuPy would: arrays of the device, of no axis for scalars."""
        if isinstance(result, DeviceArray):
            return result
        if isinstance(result, tuple | list):
            return type(result)(self.wrap(part) for part in result)
        if isinstance(result, np.ndarray | np.generic):
            return DeviceArray(self, np.asarray(result))
        return result

    def apply(self, name, function, args, kwargs):
        """Return what a function of NumPy makes of arrays of the device."""
        self.device.computing(name)
        out = kwargs.get("out")
        found = function(*_device_only(args), **{k: _device_only(v) for k, v in kwargs.items()})
        if out is None:
            return self.wrap(found)
        return out[0] if isinstance(out, tuple) else out

    def method(self, array, name):
        """Return a method of an array."""

        def call(*args, **kwargs):
            if name in _WAITING:
                self.device.waiting(name)
            if name in _REDUCTIONS:
                _check_parameters(name, (array, *args), kwargs)
            if name in ("item", "tolist", "tobytes"):
                return getattr(array._values, name)(*args, **kwargs)
            return self.apply(name, getattr(array._values, name), args, kwargs)

        return call

    def _function(self, name):
        def call(*args, **kwargs):
            if name in _WAITING or (name == "where" and len(args) == 1):
                self.device.waiting(name)
            _check_parameters(name, args, kwargs)
            if name in _HOST_ALLOWED:
                self.device.computing(name)
                found = getattr(np, name)(*_host_view(args), **kwargs)
                # Host memory is copied, never shared with the device.
                return self.wrap(found if isinstance(args[0], DeviceArray) else found.copy())
            result = self.apply(name, getattr(np, name), args, kwargs)
            if name in ("empty", "empty_like"):
                result._values.reshape(-1).view(np.uint8)[:] = _GARBAGE
            return result

        call.__name__ = name
        return call


class _Ufunc:
    """A ufunc, with those of its methods that CuPy's has."""

    def __init__(self, module, name):
        self._module, self._name = module, name

    def __call__(self, *args, **kwargs):
        unknown = kwargs.keys() - {"out", "dtype", "casting", "where"}
        if unknown:
            raise TypeError(f"{self._name}: CuPy's has no {sorted(unknown)}")
        return self._module.apply(self._name, getattr(np, self._name), args, kwargs)

    def __getattr__(self, method):
        if method not in _CUPY["ufuncs"][self._name]:
            raise AttributeError(f"CuPy's {self._name} has no {method}")
        function = getattr(getattr(np, self._name), method)
        return lambda *args, **kwargs: self._module.apply(self._name, function, args, kwargs)


class _Owned:
    """Array interface of memory with an owner: arrays over it keep the owner alive."""

    def __init__(self, values, memory):
        self.__array_interface__ = values.__array_interface__
        self._owners = values, memory


def _as_tuple(key):
    return key if isinstance(key, tuple) else (key,)


def _host_view(value):
    """Replace arrays of the device by what NumPy computes with."""
    if isinstance(value, DeviceArray):
        return value._values
    if isinstance(value, tuple | list):
        return type(value)(_host_view(part) for part in value)
    return value


def _device_only(value):
    """Do as `_host_view`, and refuse arrays of the host."""
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: not an array of the device")
    if isinstance(value, tuple | list):
        return type(value)(_device_only(part) for part in value)
    return _host_view(value)


def _check_parameters(name, args, kwargs):
    """Raise if CuPy's function of this name does not take these arguments."""
    parameters = _CUPY["functions"].get(name)
    if parameters is None:
        return
    unknown = kwargs.keys() - set(parameters)
    takes_any = any(parameter.startswith("*") for parameter in parameters)
    if unknown or (len(args) > len(parameters) and not takes_any):
        raise TypeError(f"{name}: CuPy's takes {parameters}; got {len(args)} and {sorted(kwargs)}")
