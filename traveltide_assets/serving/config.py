"""The section `serving` of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from traveltide_assets.schema.config import Section


class Config(Section):
    """The scoring service. Limits keep one client from taking the service from all others."""

    url: str = Field(
        "http://127.0.0.1:8000",
        description="Address at which people open the desk. Assets in Dagster's UI link to it",
    )
    max_body_bytes: int = Field(33_554_432, ge=1_024, description="Largest request body, in bytes")
    max_batch: int = Field(10_000, ge=1, description="Largest number of customers in one request")
    max_bytes_in_flight: int = Field(
        134_217_728,
        ge=1_024,
        description="Most bytes of request bodies held in memory at once. A body beyond is "
        "answered with 503",
    )
    timeout_seconds: float = Field(
        30, gt=0, description="Seconds after which a request is answered with 504"
    )
    poll_seconds: float = Field(5, gt=0, description="Seconds between checks for a new model")
    max_age_seconds: float | None = Field(
        None,
        gt=0,
        description="Seconds after which `/ready` answers 503 because the lake could not be looked "
        "at. Unset: what is in service is ready however old, with a warning",
    )
    workers: int = Field(2, ge=1, description="Processes that answer batches and raw rows")
    work_seconds: float = Field(
        20,
        gt=0,
        description="Seconds after which such a process is ended and its request answered with 504",
    )
    worker_memory_mb: int = Field(
        1_024, ge=256, description="Most memory that the work of such a process may take, in MB"
    )
    max_waiting: int = Field(
        64,
        ge=1,
        description="Most requests that wait for such a process. One more is answered with 503",
    )
    max_connections: int = Field(
        1_000,
        ge=1,
        description="Most open connections. For one more, the connection that has kept the service "
        "waiting longest is closed",
    )
    header_seconds: float = Field(
        10, gt=0, description="Seconds in which a client must send the head of a request"
    )
    idle_seconds: float = Field(
        5, gt=0, description="Seconds that a connection stays open between two requests"
    )
    events_folder: Path | None = Field(
        None,
        description="Folder of the log of events (`POST /events`, `?exposed=true`): a file of JSON "
        "lines per day, which the source `responses` reads. Unset: no event is logged",
    )
    max_events_bytes: int = Field(
        268_435_456,
        ge=1_024,
        description="Most bytes that the log of a day may have. More events are answered with 503",
    )
