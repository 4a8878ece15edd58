"""Settings of the HTTP service and of the review page."""

from typing import Annotated

from pydantic import Field

from coarse2fine.config.base import PositiveFloat, PositiveInt, Settings, Weight

MIN_TOKEN = 12
"""Shorter tokens can be guessed."""


class ServeConfig(Settings):
    """How a network answers over HTTP, and what it refuses."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0: all, for whoever can reach the machine")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(8000, description="port to listen on")
    workers: PositiveInt = Field(1, description="processes, each with the whole network in its memory")
    batch: PositiveInt = Field(8, description="photos that the network sees at once, at most; of one working shape")
    wait_ms: Weight = Field(5.0, description="how long a photo waits for others to share its batch, at most")
    queue: PositiveInt = Field(64, description="photos that a worker has in hand; further ones are answered 503")
    uploads: PositiveInt = Field(128, description="photos that a worker is being sent at a time; likewise")
    max_mb: PositiveFloat = Field(20.0, description="larger photos, in bytes, are refused while they arrive")
    max_megapixels: PositiveFloat = Field(25.0, description="larger photos are refused before they are decoded")
    upload_seconds: PositiveFloat = Field(30.0, description="a photo must arrive within this time")
    stop_seconds: PositiveInt = Field(30, description="told to stop, a worker finishes what it has in hand so long")


class AppConfig(Settings):
    """Where the review page listens, and what it refuses."""

    host: str = Field("127.0.0.1", description="address to listen on; any but this machine's own needs a token")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(8001, description="port to listen on")
    token: Annotated[str, Field(min_length=MIN_TOKEN)] | None = Field(
        None,
        description=f"what the page asks for, {MIN_TOKEN} characters or more; default: made up where one is needed",
    )
    max_mb: PositiveFloat = Field(20.0, description="larger photos, in bytes, are refused while they arrive")
    max_megapixels: PositiveFloat = Field(25.0, description="larger photos that are sent are refused undecoded")
