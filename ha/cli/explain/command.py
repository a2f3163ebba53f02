# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of `ha explain`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import click

from ha.cli.exit_codes import Exit
from ha.cli.explain.account import circumstances, planned, promotions, verdict, whereabouts
from ha.cli.explain.search import LIMIT_S, Found, OutOfTime, Search
from ha.cli.explain.trial import judge, reaches
from ha.cli.source.cib import SourceError, read_cib
from ha.pe.model.document import CibError, Document
from ha.root import Root

FEW_NODES = 8
"""Up to that many nodes, changes are looked for on each; on more only when one is named."""


@click.command()
@click.argument("resource")
@click.option("--node", "node", metavar="NODE", help="Only this node.")
@click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
def explain(resource: str, node: str | None, prefix: str | None) -> None:
    """Why RESOURCE is where it is, why not elsewhere, and the smallest change that would move it there.

    Changes are tried on a copy of the CIB: only what has the effect is shown, and nothing is carried out.
    """
    try:
        cib = read_cib(Root.choose(prefix), "ha")
        for line in explanation(cib, resource, node, int(time.time()), time.monotonic):
            click.echo(line)
    except SourceError as error:
        _give_up(str(error), error.code)
    except UnknownName as error:
        _give_up(str(error), Exit.NO_SUCH_OBJECT)
    except CibError as error:
        _give_up(f"the CIB cannot be used: {error}", Exit.DATA_ERROR)


def _give_up(text: str, code: int) -> None:
    click.echo(f"ha explain: {text}", err=True)
    raise SystemExit(code)


class UnknownName(Exception):
    """No such resource or node; a sentence for the operator."""


def explanation(
    cib: bytes, resource_id: str, node_name: str | None, now_s: int, clock: Callable[[], float]
) -> Iterator[str]:
    """The whole answer, line by line. `clock` gives seconds from any origin. Raises CibError and UnknownName."""
    judged = judge(cib, now_s)
    cluster = judged.cluster
    resource = cluster.find(resource_id)
    if resource is None:
        known = " ".join(each.id for each in cluster.resources)
        raise UnknownName(f"resource {resource_id!r} is not configured; there are: {known or 'none'}")
    nodes = [node for node in cluster.nodes if not node.is_bundle_node]
    if node_name is not None:
        node = cluster.node(node_name)
        if node is None:
            known = " ".join(each.name for each in nodes)
            raise UnknownName(f"node {node_name!r} is not known; the nodes are: {known}")
        nodes = [node]
    yield whereabouts(judged, resource)
    for lines in (circumstances(judged, resource), planned(judged, resource), promotions(judged, resource)):
        for line in lines:
            yield f"  {line}"
    for node in sorted(nodes, key=lambda node: not reaches(resource, node)):
        yield ""
        yield from verdict(judged, resource, node)
        if not reaches(resource, node) and len(nodes) <= FEW_NODES:
            yield from _remedy(Search(Document.read(cib).root, judged, resource, node, now_s, clock))
    if len(nodes) > FEW_NODES:
        yield ""
        yield f"For what would bring it to one of the others: ha explain {resource_id} --node NODE"


def _remedy(search: Search) -> Iterator[str]:
    where = f"on {search.node.name}"
    try:
        found = search.run()
        both = None if found else search.run_pairs()
    except OutOfTime:
        yield f"  no change that would have it run {where} was found within {LIMIT_S:.0f} s"
        return
    if not found:
        yield f"  no single change that I know would have it run {where}"
        if both is not None:
            yield from _shown(f"  two together would: {both.change.words}", both)
        return
    for number, each in enumerate(found):
        beginning = "or" if number else f"the smallest change that would have it run {where}"
        yield from _shown(f"  {beginning}: {each.change.words}", each)


def _shown(headline: str, found: Found) -> Iterator[str]:
    yield headline
    for command in found.change.command.splitlines():
        yield f"      {command}"
    for line in found.elsewhere:
        yield f"      (then {line})"
