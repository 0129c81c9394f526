"""How to connect to a database, and where the secret for it is kept: secrets are named, not held."""

import os
from typing import Any, cast

from pydantic import Field, SecretStr, model_validator

from config.documents import Strict
from config.errors import ConfigurationError, SourceError


class SecretReference(Strict):
    """Where a secret is kept: an environment variable or a Prefect Secret block, never the secret itself."""

    env: str | None = Field(
        None,
        pattern="^[A-Z_][A-Z0-9_]*$",
        description="name of the environment variable that holds it, in capitals",
    )
    prefect_block: str | None = Field(
        None, pattern="^[a-z0-9][a-z0-9-]*$", description="name of the Prefect Secret block that holds it"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_one_reference(cls, given: Any) -> Any:
        if not isinstance(given, dict) or len(given) != 1 or None in given.values():
            raise ValueError(
                "a secret is not written down here. Name the one place that holds it: {env: NAME} or"
                " {prefect_block: name}."
            )
        return given


class PostgresConnection(Strict):
    """A database of a Postgres server, and the user to connect as."""

    host: str = Field(
        pattern=r"^[A-Za-z0-9._:/-]+$",
        description="the server's name or address, or its socket's directory, alone",
    )
    port: int = Field(5432, ge=1, le=65535, description="the server's port")
    database: str = Field(min_length=1, description="the database's name")
    user: str = Field(min_length=1, description="the user to connect as")
    password: SecretReference = Field(description="where the password is kept: {env: NAME} or {prefect_block: name}")


def secret_value(reference: SecretReference) -> SecretStr:
    """Return the secret that a reference names.

    Raises:
        ConfigurationError: the environment variable is not set or empty, or there is no such Prefect block.
        SourceError: the Prefect server does not answer, or does not let us in.
    """
    if reference.env is not None:
        value = os.environ.get(reference.env)
        if not value:
            raise ConfigurationError(f"the environment variable {reference.env} is not set. Set it to the secret.")
        return SecretStr(value)
    # they take seconds, and few need them
    from httpx import HTTPError
    from prefect.blocks.system import Secret

    try:
        block = cast(Secret[str], Secret.load(reference.prefect_block, _sync=True))
    except ValueError:
        raise ConfigurationError(
            f"there is no Prefect Secret block {reference.prefect_block}."
            " Make it, or name an environment variable instead."
        ) from None
    except (HTTPError, RuntimeError) as error:  # the second where a temporary server does not start
        raise SourceError(
            f"the Prefect Secret block {reference.prefect_block} cannot be read: {str(error).splitlines()[0]}. Start the Prefect "
            "server, correct PREFECT_API_URL or PREFECT_API_AUTH_STRING, or name an environment variable instead."
        ) from error
    return SecretStr(str(block.get()))
