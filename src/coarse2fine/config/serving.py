"""Settings of the HTTP service and of the review page."""

from typing import Annotated

from pydantic import Field

from coarse2fine.config.base import PositiveFloat, PositiveInt, Settings, Weight

MIN_TOKEN = 12
"""Least length of a token, in characters; shorter ones can be guessed."""


class ServeConfig(Settings):
    """The HTTP service: its address and its limits."""

    host: str = Field(
        "127.0.0.1", description="address to listen on; 0.0.0.0: open to all machines that can reach this one"
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(8000, description="port to listen on")
    workers: PositiveInt = Field(1, description="worker processes; each holds the whole network in memory")
    batch: PositiveInt = Field(8, description="largest batch of the network; the photos of a batch have the same size")
    wait_ms: Weight = Field(5.0, description="longest time that a photo waits for others to fill its batch")
    queue: PositiveInt = Field(
        64, description="most photos that wait in a worker; further requests get the response 503"
    )
    uploads: PositiveInt = Field(
        128, description="most uploads that a worker receives at the same time; further requests get the response 503"
    )
    max_mb: PositiveFloat = Field(20.0, description="largest photo in megabytes; larger uploads are stopped")
    max_megapixels: PositiveFloat = Field(25.0, description="largest photo in megapixels; larger ones are not decoded")
    upload_seconds: PositiveFloat = Field(30.0, description="longest time of an upload")
    stop_seconds: PositiveInt = Field(30, description="when it stops, a worker has this time to finish its requests")


class AppConfig(Settings):
    """The review page: its address and its limits."""

    host: str = Field(
        "127.0.0.1", description="address to listen on; an address that other machines can reach needs a token"
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(8001, description="port to listen on")
    token: Annotated[str, Field(min_length=MIN_TOKEN)] | None = Field(
        None,
        description=f"password of the page, {MIN_TOKEN} characters or more; default: generated if one is needed",
    )
    max_mb: PositiveFloat = Field(20.0, description="largest photo in megabytes; larger uploads are stopped")
    max_megapixels: PositiveFloat = Field(
        25.0, description="largest uploaded photo in megapixels; larger ones are not decoded"
    )
