from minicaffe.schema import minicaffe_pb2 as _minicaffe_pb2
from minicaffe.schema import common_pb2 as _common_pb2
from minicaffe.schema import forks_pb2 as _forks_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BlobWeights(_message.Message):
    __slots__ = ("shape", "data", "diff", "double_data", "double_diff", "num", "channels", "height", "width", "raw_data_type", "raw_diff_type", "raw_data", "raw_diff")
    class RawType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DOUBLE: _ClassVar[BlobWeights.RawType]
        FLOAT: _ClassVar[BlobWeights.RawType]
        FLOAT16: _ClassVar[BlobWeights.RawType]
        INT: _ClassVar[BlobWeights.RawType]
        UINT: _ClassVar[BlobWeights.RawType]
        BOOL: _ClassVar[BlobWeights.RawType]
    DOUBLE: BlobWeights.RawType
    FLOAT: BlobWeights.RawType
    FLOAT16: BlobWeights.RawType
    INT: BlobWeights.RawType
    UINT: BlobWeights.RawType
    BOOL: BlobWeights.RawType
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_DATA_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_DIFF_FIELD_NUMBER: _ClassVar[int]
    NUM_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    RAW_DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    RAW_DIFF_TYPE_FIELD_NUMBER: _ClassVar[int]
    RAW_DATA_FIELD_NUMBER: _ClassVar[int]
    RAW_DIFF_FIELD_NUMBER: _ClassVar[int]
    shape: _common_pb2.BlobShape
    data: bytes
    diff: bytes
    double_data: bytes
    double_diff: bytes
    num: int
    channels: int
    height: int
    width: int
    raw_data_type: BlobWeights.RawType
    raw_diff_type: BlobWeights.RawType
    raw_data: bytes
    raw_diff: bytes
    def __init__(self, shape: _Optional[_Union[_common_pb2.BlobShape, _Mapping]] = ..., data: _Optional[bytes] = ..., diff: _Optional[bytes] = ..., double_data: _Optional[bytes] = ..., double_diff: _Optional[bytes] = ..., num: _Optional[int] = ..., channels: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., raw_data_type: _Optional[_Union[BlobWeights.RawType, str]] = ..., raw_diff_type: _Optional[_Union[BlobWeights.RawType, str]] = ..., raw_data: _Optional[bytes] = ..., raw_diff: _Optional[bytes] = ...) -> None: ...

class C3DBlobWeights(_message.Message):
    __slots__ = ("num", "channels", "length", "height", "width", "data", "diff")
    NUM_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    num: int
    channels: int
    length: int
    height: int
    width: int
    data: bytes
    diff: bytes
    def __init__(self, num: _Optional[int] = ..., channels: _Optional[int] = ..., length: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[bytes] = ..., diff: _Optional[bytes] = ...) -> None: ...

class LayerWeights(_message.Message):
    __slots__ = ("name", "type", "blobs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    blobs: _containers.RepeatedCompositeFieldContainer[BlobWeights]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., blobs: _Optional[_Iterable[_Union[BlobWeights, _Mapping]]] = ...) -> None: ...

class V0LayerWeights(_message.Message):
    __slots__ = ("name", "type", "blobs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    blobs: _containers.RepeatedCompositeFieldContainer[BlobWeights]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., blobs: _Optional[_Iterable[_Union[BlobWeights, _Mapping]]] = ...) -> None: ...

class V1LayerWeights(_message.Message):
    __slots__ = ("layer", "name", "type", "blobs")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    layer: V0LayerWeights
    name: str
    type: _minicaffe_pb2.V1LayerParameter.LayerType
    blobs: _containers.RepeatedCompositeFieldContainer[BlobWeights]
    def __init__(self, layer: _Optional[_Union[V0LayerWeights, _Mapping]] = ..., name: _Optional[str] = ..., type: _Optional[_Union[_minicaffe_pb2.V1LayerParameter.LayerType, str]] = ..., blobs: _Optional[_Iterable[_Union[BlobWeights, _Mapping]]] = ...) -> None: ...

class NetWeights(_message.Message):
    __slots__ = ("name", "layers", "layer")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    name: str
    layers: _containers.RepeatedCompositeFieldContainer[V1LayerWeights]
    layer: _containers.RepeatedCompositeFieldContainer[LayerWeights]
    def __init__(self, name: _Optional[str] = ..., layers: _Optional[_Iterable[_Union[V1LayerWeights, _Mapping]]] = ..., layer: _Optional[_Iterable[_Union[LayerWeights, _Mapping]]] = ...) -> None: ...

class SolverStateWeights(_message.Message):
    __slots__ = ("iter", "learned_net", "history", "current_step", "minimum_loss", "iter_last_event")
    ITER_FIELD_NUMBER: _ClassVar[int]
    LEARNED_NET_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_LOSS_FIELD_NUMBER: _ClassVar[int]
    ITER_LAST_EVENT_FIELD_NUMBER: _ClassVar[int]
    iter: int
    learned_net: str
    history: _containers.RepeatedCompositeFieldContainer[BlobWeights]
    current_step: int
    minimum_loss: float
    iter_last_event: int
    def __init__(self, iter: _Optional[int] = ..., learned_net: _Optional[str] = ..., history: _Optional[_Iterable[_Union[BlobWeights, _Mapping]]] = ..., current_step: _Optional[int] = ..., minimum_loss: _Optional[float] = ..., iter_last_event: _Optional[int] = ...) -> None: ...
