# SPDX-License-Identifier: GPL-2.0-or-later
"""Every command with its options and words, as its parser knows them."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points

import click

DAEMON_METADATA = ("pacemaker-based", "pacemaker-controld", "pacemaker-fenced", "pacemaker-schedulerd")
CLICK = {
    "crm_report": ("ha.cli.report.command", "crm_report"),
    "ha": ("ha.cli.ha", "main"),
    "haresources2cib": ("ha.cli.config.convert.command", "haresources2cib"),
}
"""Commands whose parser is click's."""
PARSERS = {
    "crm_mon": "ha.cli.crm_mon.command",
    "crm_resource": "ha.cli.crm_resource.command",
    "crm_simulate": "ha.cli.crm_simulate.options",
    "rmd": "ha.rmd.daemon",
}
"""Where a command's `parser` is, if not in the module of its name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One option or word: how it is written, what it takes ("" for nothing), what it means."""

    names: tuple[str, ...]
    value: str
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manual:
    """`words` are what a command takes without a dash: sub-commands with their texts. `parts`: their own manuals."""

    name: str
    summary: str
    text: str
    usage: str
    options: tuple[Item, ...] = ()
    words: tuple[Item, ...] = ()
    parts: tuple[Manual, ...] = field(default=())


def commands() -> list[str]:
    """The names of all commands that the package installs."""
    return sorted(point.name for point in entry_points(group="console_scripts") if point.value.startswith("ha."))


def manual(name: str) -> Manual:
    """Of one command."""
    if name in CLICK:
        module, attribute = CLICK[name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), type(command)
        return _of_click(command, name, click.Context(command, info_name=name))
    if name in DAEMON_METADATA:
        text = "Prints the cluster options that it heeds, as shells ask for them; the work is done by rmd's workers."
        words = (Item(("metadata",), "", "the options"), Item(("version",), "", "the version"))
        return Manual(name, "cluster options for shells", text, f"{name} metadata | version", words=words)
    parser = importlib.import_module(PARSERS.get(name, f"ha.cli.{name}")).parser()
    assert isinstance(parser, argparse.ArgumentParser), type(parser)
    return _of_argparse(parser, name)


def _of_argparse(parser: argparse.ArgumentParser, name: str) -> Manual:
    options: list[Item] = []
    words: list[Item] = []
    parts: list[Manual] = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            words += [Item((each,), "", texts.get(each, "")) for each in action.choices]
            parts += [_of_argparse(sub, f"{name} {each}") for each, sub in action.choices.items()]
            continue
        text = (action.help or "") % {"default": action.default, "prog": name}
        item = Item(tuple(action.option_strings) or (str(action.metavar or action.dest),),
                    _value_of(action), text, tuple(str(choice) for choice in action.choices or ()))  # fmt: skip
        (options if action.option_strings else words).append(item)
    summary, text = _split(parser.description or "")
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    more = " ".join((parser.epilog or "").split())
    return Manual(name, summary, f"{text} {more}".strip(), usage, tuple(options), tuple(words), tuple(parts))


def _value_of(action: argparse.Action) -> str:
    if action.nargs == 0 or not action.option_strings:
        return ""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices and action.metavar is None:
        value = "|".join(str(choice) for choice in action.choices)
    return f"[{value}]" if action.nargs == "?" else value


def _of_click(command: click.Command, name: str, context: click.Context) -> Manual:
    options: list[Item] = []
    words: list[Item] = []
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option):
            if parameter.hidden:
                continue
            value = "" if parameter.is_flag or parameter.count else str(parameter.make_metavar(context))
            choices = tuple(map(str, parameter.type.choices)) if isinstance(parameter.type, click.Choice) else ()
            names = tuple(sorted((*parameter.opts, *parameter.secondary_opts), key=len))
            options.append(Item(names, value, parameter.help or "", choices))
        else:
            words.append(Item((parameter.make_metavar(context),), "", ""))
    parts = [_of_click(sub, f"{name} {each}", inner) for each, sub, inner in _below(command, context)]
    words += [Item((part.name.rsplit(" ", 1)[-1],), "", part.summary) for part in parts]
    summary, text = _split(re.sub(r"\x08\n", "", command.help or ""))
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    return Manual(name, summary, text, usage, tuple(options), tuple(words), tuple(parts))


def _below(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None, name
        yield name, found, click.Context(found, info_name=name, parent=context)


def _split(text: str) -> tuple[str, str]:
    """The first sentence, and all of it."""
    whole = "\n".join(line.strip() for line in text.strip().splitlines())
    first = whole.split("\n\n", 1)[0].replace("\n", " ")
    return re.split(r"(?<=[a-z)])\.(?: |$)", first, maxsplit=1)[0].rstrip("."), whole
