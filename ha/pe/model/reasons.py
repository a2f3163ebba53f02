# SPDX-License-Identifier: GPL-2.0-or-later
"""The reporter of those who ask why: an account of every score, term by term, and the causes of actions."""

from __future__ import annotations

from dataclasses import dataclass

from ha.pe.model import scores
from ha.pe.model.action import Action
from ha.pe.model.node import Node
from ha.pe.model.reporter import Silence
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role


@dataclass(frozen=True, slots=True)
class Term:
    """One amount in an account, with the id of the constraint, or the option or rule of behaviour, behind it.

    A `fresh` term begins the account anew: the sum of those before it is put aside.
    """

    amount: int
    cause: str
    fresh: bool = False


def fold(terms: list[Term]) -> int:
    """The score that the terms come to, taken in order: minus infinity beats infinity, and both absorb.

    Sums are clipped to the infinities at every step (`scores.add`), so the order counts where one is reached.
    """
    total: int | None = None
    for term in terms:
        total = term.amount if total is None or term.fresh else scores.add(total, term.amount)
    assert total is not None, "an account without terms has no sum"
    return total


def counting(terms: list[Term]) -> list[Term]:
    """The terms from the last fresh one on: those that the score is made of."""
    last = max((index for index, term in enumerate(terms) if term.fresh), default=0)
    return terms[last:]


class Reasons(Silence):
    """Keeps the accounts of one decision.

    Resources are told apart by identity: instances may be renamed while the history is read.
    """

    def __init__(self) -> None:
        self._accounts: dict[Resource, list[tuple[Node, Term]]] = {}
        self._lengths: dict[Resource, list[int]] = {}
        self._promotions: dict[Resource, list[Term]] = {}
        self._roles: dict[Resource, list[tuple[Role, str]]] = {}
        self._refusals: dict[Resource, list[str]] = {}
        self._causes: dict[Action, list[str]] = {}
        self.notices: list[str] = []

    # What is reported ------------------------------------------------------------------------------------------

    def score(self, resource: Resource, node: Node, term: int, total: int, cause: str, fresh: bool = False) -> None:
        self._accounts.setdefault(resource, []).append((node, Term(term, cause, fresh)))

    def tentative(self, resource: Resource) -> None:
        self._lengths.setdefault(resource, []).append(len(self._accounts.get(resource, ())))

    def settled(self, resource: Resource, kept: bool) -> None:
        length = self._lengths[resource].pop()
        if not kept and resource in self._accounts:
            del self._accounts[resource][length:]

    def promotion_term(self, resource: Resource, term: int, total: int, cause: str, fresh: bool = False) -> None:
        self._promotions.setdefault(resource, []).append(Term(term, cause, fresh))

    def refused(self, resource: Resource, cause: str) -> None:
        self._refusals.setdefault(resource, []).append(cause)

    def role(self, resource: Resource, role: Role, cause: str) -> None:
        self._roles.setdefault(resource, []).append((role, cause))

    def action(self, action: Action, what: str, cause: str) -> None:
        if cause:
            self._causes.setdefault(action, []).append(cause if what == "required" else f"{what} by {cause}")

    def notice(self, text: str) -> None:
        self.notices.append(text)

    # What is asked ---------------------------------------------------------------------------------------------

    def terms(self, resource: Resource, node: Node) -> list[Term]:
        """Everything that was said of a node for a resource, in order; nothing for a node not in its table."""
        return [term for known, term in self._accounts.get(resource, ()) if known is node]

    def promotion_terms(self, resource: Resource) -> list[Term]:
        return list(self._promotions.get(resource, ()))

    def refusals(self, resource: Resource) -> list[str]:
        """Why it had no choice of a place, or got none, beside its scores."""
        return list(self._refusals.get(resource, ()))

    def roles(self, resource: Resource) -> list[tuple[Role, str]]:
        """The roles decided for a resource, each with its cause; the last one counts."""
        return list(self._roles.get(resource, ()))

    def causes(self, action: Action) -> list[str]:
        """What made an action necessary or impossible, in the order it was found out."""
        return list(self._causes.get(action, ()))
