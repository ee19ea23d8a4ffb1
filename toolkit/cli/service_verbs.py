"""Verbs of the service: run it, install it, see what it found, and say what one thinks of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idskit.cli.flags import Html, Json
from idskit.cli.notices import announcing_compilation, console, say, write_document
from idskit.cli.verb import verb
from idskit.errors import IdskitError

if TYPE_CHECKING:
    from idskit.gateway.service_options import ServiceOptions

Configuration = Annotated[
    Path | None,
    typer.Option("-c", "--config", metavar="FILE", help="Configuration of the service, in TOML"),
]
IncidentId = Annotated[
    str, typer.Argument(metavar="ID", help="Identifier of an incident, or its first characters")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout")]


@verb()
def run(
    config: Configuration = None,
    interface: Annotated[
        list[str] | None,
        typer.Option(
            "-i",
            "--interface",
            metavar="NAME",
            help="Interface to read; repeatable; that of the default route if omitted",
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("-T", "--test", help="Test the configuration, and run nothing")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the configuration with comments, and exit")
    ] = False,
) -> None:
    """Run as a service: watch interfaces, send incidents to sinks, serve a page."""
    from idskit.gateway.configuration import commented_configuration

    options = _options(config, interface)
    if print_config:
        print(commented_configuration(options), end="")
    elif test:
        from idskit.gateway.run_gateway import check_settings

        check_settings(options)
        say(f"{config or 'the default configuration'} is right")
    else:
        from idskit.gateway.run_gateway import run_gateway

        with announcing_compilation():
            run_gateway(options, reload=lambda: _options(config, interface), say=say)


def _options(config: Path | None, interface: list[str] | None = None) -> ServiceOptions:
    """Read the settings; each wrong line is a line on stderr."""
    from idskit.gateway.configuration import ConfigurationError, read_configuration
    from idskit.gateway.service_options import ServiceOptions

    options = ServiceOptions()
    if config is not None:
        try:
            options = read_configuration(config)
        except ConfigurationError as error:
            if len(error.problems) == 1:
                raise
            for problem in error.problems:
                say(problem)
            raise ConfigurationError(
                [f"{config} has {len(error.problems)} errors: see above"]
            ) from None
    if interface:
        options = replace(options, capture=replace(options.capture, interfaces=tuple(interface)))
    return options


@verb()
def service(
    action: Annotated[str, typer.Argument(metavar="install", help="What to do: install")],
    config: Configuration = None,
    print_unit: Annotated[
        bool, typer.Option("--print", help="Print the unit on stdout, and write nothing")
    ] = False,
) -> None:
    """Install the service as a systemd unit that may do nothing but capture packets."""
    from idskit.machine.service_unit import UNIT, install, installed_command, unit_text

    if action != "install":
        raise typer.BadParameter(f"{action} is nothing that can be done: install is")
    if config is not None:
        _options(config)
    text = unit_text(installed_command(), None if config is None else config.absolute())
    if print_unit:
        print(text, end="")
        return
    install(text)
    say(f"{UNIT} is written: systemctl daemon-reload && systemctl enable --now idskit")


@verb()
def incidents(
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only incidents updated since then: 2h, 3d or 2026-11-30T08:00"
        ),
    ] = None,
    as_json: AsJson = False,
    config: Configuration = None,
) -> None:
    """List the incidents that the service found, the latest first."""
    from idskit.cli.incident_views import found_since, show_incidents

    found = found_since(_state_folder(config), since)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show_incidents(found, console())


@verb()
def explain(
    incident_id: IncidentId,
    as_json: AsJson = False,
    html: Html = None,
    config: Configuration = None,
) -> None:
    """Show one incident in full: who, whom, since when, on what evidence, and why."""
    from idskit.cli.incident_views import card_of, found_by, show_incident

    folder = _state_folder(config)
    found = found_by(folder, incident_id)
    if html is not None:
        write_document(html, card_of(folder, found))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show_incident(found, console())


@verb()
def verdict(
    incident_id: IncidentId,
    said: Annotated[
        str, typer.Argument(metavar="VERDICT", help="attack, expected (here), or wrong")
    ],
    config: Configuration = None,
) -> None:
    """Record a verdict on an incident: an attack, expected here, or wrong."""
    from idskit.cli.incident_views import found_by, say_verdict

    folder = _state_folder(config)
    found: dict[str, Any] = found_by(folder, incident_id)
    effect = say_verdict(folder, found["incident_id"], said)
    say(effect or f"{found['incident_id']} is {said}; nothing else is like it")


@verb()
def lower(config: Configuration = None) -> None:
    """Let incidents open with the evidence of the budget again, after the service raised it."""
    from idskit.gateway.control_socket import ask

    ask(_state_folder(config), {"ask": "lower"})
    say("incidents open with the evidence of the budget again")


@verb()
def drill(
    interface: Annotated[
        str | None,
        typer.Option(
            "-i",
            "--interface",
            metavar="NAME",
            help="Interface to send out of, where the service reads; own namespaces if omitted",
        ),
    ] = None,
    config: Configuration = None,
    json_file: Json = None,
) -> None:
    """Send harmless traffic that looks like attacks: exit 3 if the service does not see it."""
    from idskit.lab.drill import drill_in_namespaces, drill_on_interface

    if interface is None:
        report = drill_in_namespaces(say)
    else:
        report = drill_on_interface(interface, _state_folder(config), say)
    report.show(console())
    write_document(json_file, report.to_json())
    report.require_seen()


def _state_folder(config: Path | None) -> Path:
    from idskit.gateway.state_folder import state_folder

    folder = state_folder(_options(config).state.folder)
    if not folder.is_dir():
        raise IdskitError(
            f"there is no state in {folder}: run the service first (idskit run), or name its "
            "configuration (-c)"
        )
    return folder
