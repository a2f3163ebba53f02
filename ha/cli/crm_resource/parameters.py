# SPDX-License-Identifier: GPL-2.0-or-later
"""Instance attributes, meta-attributes and utilization of a resource."""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.cli.crm_resource.session import OrderError, Session, tell
from ha.cli.exit_codes import Exit
from ha.cli.output.xml_text import quoteattr

BLOCKS = {"instance": "instance_attributes", "meta": "meta_attributes", "utilization": "utilization"}


def block_tag(session: Session) -> str:
    """The element that --meta, --utilization or neither mean."""
    if session.options.meta:
        return BLOCKS["meta"]
    return BLOCKS["utilization"] if session.options.utilization else BLOCKS["instance"]


def definition(session: Session) -> Element:
    """The element that defines the resource. Instances of a clone are defined by its child."""
    return session.resource().orig_xml


def find_pair(element: Element, tag: str, name: str) -> Element | None:
    """The first nvpair of that name in any block of the kind."""
    for block in element.iterchildren(tag):
        for pair in block.iterchildren("nvpair"):
            if pair.get("name") == name:
                return pair
    return None


def get_parameter(session: Session) -> int:
    """--get-parameter: the value alone; 105 when it is not set."""
    name = session.options.get_parameter
    pair = find_pair(session.resource().xml, block_tag(session), name)
    if pair is None:
        raise OrderError(Exit.NO_SUCH_OBJECT, f"attribute '{name}' not found for '{session.options.resource}'")
    print(pair.get("value"))
    return Exit.OK


def set_parameter(session: Session) -> int:
    """--set-parameter with --parameter-value."""
    options = session.options
    if options.parameter_value is None:
        raise OrderError(Exit.USAGE, "--set-parameter needs --parameter-value")
    set_value(session, definition(session), block_tag(session), options.set_parameter, options.parameter_value)
    return Exit.OK


def set_value(session: Session, element: Element, tag: str, name: str, value: str, *, quiet: bool = False) -> None:
    """Write one nvpair, in its block if there is one already."""
    resource = str(element.get("id"))
    pair = find_pair(element, tag, name)
    block = next(element.iterchildren(tag), None) if pair is None else pair.getparent()
    block_id = str(block.get("id")) if block is not None else f"{resource}-{tag}"
    pair_id = str(pair.get("id")) if pair is not None else f"{block_id}-{name}"
    xml = (
        f"<{element.tag} id={quoteattr(resource)}><{tag} id={quoteattr(block_id)}>"
        f"<nvpair id={quoteattr(pair_id)} name={quoteattr(name)} value={quoteattr(value)}/></{tag}></{element.tag}>"
    )
    session.write("modify", xml, scope="resources")
    if not quiet:
        set_words = f" set={block_id}"
        print(f"Set '{resource}' option: id={pair_id}{set_words} name={name} value={value}")


def delete_parameter(session: Session) -> int:
    """--delete-parameter; nothing to delete is no error."""
    element = definition(session)
    tag, name = block_tag(session), session.options.delete_parameter
    if not delete_value(session, element, tag, name):
        return Exit.OK
    tell(f"Deleted '{session.options.resource}' option: name={name}")
    return Exit.OK


def delete_value(session: Session, element: Element, tag: str, name: str) -> bool:
    """Remove one nvpair; whether there was one."""
    pair = find_pair(element, tag, name)
    if pair is None:
        return False
    session.write("delete", f"<nvpair id={quoteattr(str(pair.get('id')))}/>", scope="resources")
    return True
