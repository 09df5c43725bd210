from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("agent_id", "model_sha256", "environment", "obs_dim", "n_actions", "n_agents", "contract_version", "server_version", "state_dim", "unit_dim", "episode_limit")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_SHA256_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OBS_DIM_FIELD_NUMBER: _ClassVar[int]
    N_ACTIONS_FIELD_NUMBER: _ClassVar[int]
    N_AGENTS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_DIM_FIELD_NUMBER: _ClassVar[int]
    UNIT_DIM_FIELD_NUMBER: _ClassVar[int]
    EPISODE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    agent_id: int
    model_sha256: str
    environment: str
    obs_dim: int
    n_actions: int
    n_agents: int
    contract_version: int
    server_version: str
    state_dim: int
    unit_dim: int
    episode_limit: int
    def __init__(self, agent_id: _Optional[int] = ..., model_sha256: _Optional[str] = ..., environment: _Optional[str] = ..., obs_dim: _Optional[int] = ..., n_actions: _Optional[int] = ..., n_agents: _Optional[int] = ..., contract_version: _Optional[int] = ..., server_version: _Optional[str] = ..., state_dim: _Optional[int] = ..., unit_dim: _Optional[int] = ..., episode_limit: _Optional[int] = ...) -> None: ...

class ActRequest(_message.Message):
    __slots__ = ("episode_id", "step", "observation", "available_actions", "include_advantages")
    EPISODE_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_ACTIONS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ADVANTAGES_FIELD_NUMBER: _ClassVar[int]
    episode_id: str
    step: int
    observation: bytes
    available_actions: bytes
    include_advantages: bool
    def __init__(self, episode_id: _Optional[str] = ..., step: _Optional[int] = ..., observation: _Optional[bytes] = ..., available_actions: _Optional[bytes] = ..., include_advantages: bool = ...) -> None: ...

class ActResponse(_message.Message):
    __slots__ = ("step", "action", "advantages")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ADVANTAGES_FIELD_NUMBER: _ClassVar[int]
    step: int
    action: int
    advantages: bytes
    def __init__(self, step: _Optional[int] = ..., action: _Optional[int] = ..., advantages: _Optional[bytes] = ...) -> None: ...

class EndEpisodeRequest(_message.Message):
    __slots__ = ("episode_id",)
    EPISODE_ID_FIELD_NUMBER: _ClassVar[int]
    episode_id: str
    def __init__(self, episode_id: _Optional[str] = ...) -> None: ...

class EndEpisodeResponse(_message.Message):
    __slots__ = ("ended",)
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ended: bool
    def __init__(self, ended: bool = ...) -> None: ...
