"""Settings of the HTTP service and of the review page."""

from typing import Annotated

from pydantic import Field

from coarse2fine.config.base import PositiveFloat, PositiveInt, Settings, Weight

MIN_TOKEN_LENGTH = 12
"""Shorter authentication tokens are easy to guess."""

Port = Annotated[int, Field(ge=1, le=65535)]


class ServeConfig(Settings):
    """Address, batching and request limits of the HTTP service."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0: all network interfaces")
    port: Port = Field(8000, description="port to listen on")
    workers: PositiveInt = Field(1, description="worker processes; each holds a copy of the network")
    batch: PositiveInt = Field(8, description="photos per batch, at most; a batch has photos of one working size")
    wait_ms: Weight = Field(5.0, description="time that a photo waits for others to fill its batch, at most")
    queue: PositiveInt = Field(64, description="received photos per worker, at most; further requests get status 503")
    uploads: PositiveInt = Field(128, description="simultaneous uploads per worker, at most; further ones get 503")
    max_mb: PositiveFloat = Field(20.0, description="largest upload, in megabytes; counted while it arrives")
    max_megapixels: PositiveFloat = Field(25.0, description="largest photo, in megapixels; checked before decoding")
    upload_seconds: PositiveFloat = Field(30.0, description="timeout of an upload")
    response_seconds: PositiveFloat = Field(30.0, description="time in which a client must have read a response")
    connections: PositiveInt = Field(
        1000,
        description="open connections per worker, at most; further ones get 503; at most what 'ulimit -n' allows",
    )
    stop_seconds: PositiveInt = Field(30, description="time to finish open requests after Ctrl-C or SIGTERM")


class AppConfig(Settings):
    """Address, authentication token and upload limits of the review page."""

    host: str = Field("127.0.0.1", description="address to listen on; any other than loopback requires a token")
    port: Port = Field(8001, description="port to listen on")
    token: Annotated[str, Field(min_length=MIN_TOKEN_LENGTH)] | None = Field(
        None,
        description=f"authentication token, at least {MIN_TOKEN_LENGTH} characters; default: none on loopback, "
        "a random one on any other host",
    )
    max_mb: PositiveFloat = Field(20.0, description="largest upload, in megabytes; counted while it arrives")
    max_megapixels: PositiveFloat = Field(25.0, description="largest photo, in megapixels; checked before decoding")
