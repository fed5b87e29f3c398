"""Options for the connection to a Kubeflow Pipelines server, declared once for all commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from dgunet.kubeflow.submission.server import Server


@dataclass(frozen=True)
class Connection:
    """Values of the connection options; each field is one option."""

    host: Annotated[
        str | None,
        typer.Option(
            help="address of the pipelines API, e.g. https://kubeflow.example.org/pipeline"
        ),
    ] = None
    namespace: Annotated[str, typer.Option(help="your profile on a multi-user server")] = ""
    token_file: Annotated[
        Path | None,
        typer.Option(help="file with a bearer token", show_default="the variable DGUNET_KFP_TOKEN"),
    ] = None
    cookie_file: Annotated[
        Path | None,
        typer.Option(
            help="file with a session cookie", show_default="the variable DGUNET_KFP_COOKIE"
        ),
    ] = None
    ca_file: Annotated[
        Path | None,
        typer.Option(help="CA certificates of the server"),
    ] = None
    timeout: Annotated[
        int, typer.Option(min=1, max=3_600, help="seconds to wait for a response of the server")
    ] = 60

    def server(self) -> Server:
        """The client of the server.

        Raises:
            ConfigError: if the address or the credentials are missing or invalid.
        """
        from dgunet.kubeflow.submission.server import Server, find_access

        access = find_access(
            self.host,
            namespace=self.namespace,
            timeout=self.timeout,
            token_file=self.token_file,
            cookie_file=self.cookie_file,
            ca_file=self.ca_file,
        )
        return Server(access)


def with_connection(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with the connection options instead of its parameter ``connection``."""
    hints = get_type_hints(Connection, include_extras=True)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(Connection)
    ]
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())
    names = [parameter.name for parameter in own]
    at = names.index("connection")
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own[:at], *options, *own[at + 1 :])
    ]

    @wraps(command)
    def with_options(**values: Any) -> None:
        given = {option.name: values.pop(option.name) for option in options}
        command(connection=Connection(**given), **values)

    # typer reads names, types and defaults of the options from these two attributes.
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options
