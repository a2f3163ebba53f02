# SPDX-License-Identifier: GPL-2.0-or-later
"""--output-as and --output-to, which the small tools share: lines for people, elements of the result for programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ha import __version__
from ha.cli.exit_codes import Exit, words

if TYPE_CHECKING:
    from lxml import etree

    Item = tuple[str, Mapping[str, str]] | etree._Element
    """An element of the XML form: tag and attributes, or the element itself."""


def add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-$", "--version", action="version", version=f"{parser.prog} (Heartbeat) {__version__}")


def add_output_options(parser: argparse.ArgumentParser, *forms: str) -> None:
    """--output-as (one of `forms`, the first is the default) and --output-to."""
    group = parser.add_argument_group("output")
    group.add_argument("--output-as", choices=forms, default=forms[0], help=f"default: {forms[0]}")
    group.add_argument("--output-to", metavar="FILE", default="-", help='"-" is standard output')


def emit(
    options: argparse.Namespace,
    request: Sequence[str],
    lines: Sequence[str],
    items: Sequence[Item] = (),
    code: int = Exit.OK,
    errors: Sequence[str] = (),
) -> int:
    """Print the result in the form that was asked for; errors of the text form go to standard error. Returns the exit
    code: `code`, or CANNOT_CREATE when --output-to cannot be written."""
    if options.output_as == "xml":
        from lxml import etree

        from ha.cli.output.xml_result import XmlResult

        result = XmlResult(request)
        for item in items:
            if isinstance(item, tuple):
                etree.SubElement(result.root, item[0], dict(item[1]))
            else:
                result.root.append(item)
        text = result.finish(code, words(code), errors)
    else:
        for error in errors:
            print(f"{request[0]}: {error}", file=sys.stderr)
        text = "".join(f"{line}\n" for line in lines)
    return _deliver(text, options.output_to, request[0]) or code


def _deliver(text: str, target: str, program: str) -> int:
    if target == "-":
        sys.stdout.write(text)
        return Exit.OK
    try:
        Path(target).write_text(text)
    except OSError as error:
        print(f"{program}: {target}: {error.strerror}", file=sys.stderr)
        return Exit.CANNOT_CREATE
    return Exit.OK
