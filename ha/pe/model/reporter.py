# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook through which the engine says why. The engine itself never logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ha.pe.model.action import Action
    from ha.pe.model.node import Node
    from ha.pe.model.resource import Resource
    from ha.pe.model.roles import Role


class Reporter(Protocol):
    """Hears the engine's decisions as they are made, in a defined order.

    * `score`: a term entered a resource's score of a node, which is `total` now. `cause` names the constraint, option
      or rule of behaviour. The terms of a node, in the order reported, fold to its score by `scores.add`: minus
      infinity beats infinity, and both absorb. A `fresh` term puts aside those before it: the table of the resource
      was made anew, or what spoke before does not count any more.
    * `tentative`, `settled`: the table of the resource (without its children's) may yet be put back as it is now; it
      was kept as it has become, or put back. Pairs may nest.
    * `promotion_term`: the same for the promotion score of an instance.
    * `table`: the scores at a named stage (`pcmk__primitive_assign` ... as crm_simulate -s prints them).
    * `promotion`: the promotion score of an instance; `node` is None for one without a place.
    * `assigned`: the place of a resource was decided, None for none.
    * `refused`: a resource was given no choice of a place, whatever the scores.
    * `role`: the role that a resource is to have next was decided.
    * `action`: an action became `what`: "required" for a reason in words, or "implied", "unrunnable" or
      "unmigrateable" by another action, whose key is the cause.
    * `capacity`, `utilization`: node capacities and what a resource takes (crm_simulate -U).
    * `notice`: a sentence for the operator.
    """

    def score(
        self, resource: Resource, node: Node, term: int, total: int, cause: str, fresh: bool = False
    ) -> None: ...

    def tentative(self, resource: Resource) -> None: ...

    def settled(self, resource: Resource, kept: bool) -> None: ...

    def promotion_term(self, resource: Resource, term: int, total: int, cause: str, fresh: bool = False) -> None: ...

    def table(self, stage: str, resource: Resource) -> None: ...

    def promotion(self, resource: Resource, node: Node | None, score: int) -> None: ...

    def assigned(self, resource: Resource, node: Node | None) -> None: ...

    def refused(self, resource: Resource, cause: str) -> None: ...

    def role(self, resource: Resource, role: Role, cause: str) -> None: ...

    def action(self, action: Action, what: str, cause: str) -> None: ...

    def capacity(self, stage: str, node: Node) -> None: ...

    def utilization(self, resource: Resource, node: Node) -> None: ...

    def notice(self, text: str) -> None: ...


class Silence:
    """The reporter of those who do not ask why."""

    def score(self, resource: Resource, node: Node, term: int, total: int, cause: str, fresh: bool = False) -> None:
        pass

    def tentative(self, resource: Resource) -> None:
        pass

    def settled(self, resource: Resource, kept: bool) -> None:
        pass

    def promotion_term(self, resource: Resource, term: int, total: int, cause: str, fresh: bool = False) -> None:
        pass

    def table(self, stage: str, resource: Resource) -> None:
        pass

    def promotion(self, resource: Resource, node: Node | None, score: int) -> None:
        pass

    def assigned(self, resource: Resource, node: Node | None) -> None:
        pass

    def refused(self, resource: Resource, cause: str) -> None:
        pass

    def role(self, resource: Resource, role: Role, cause: str) -> None:
        pass

    def action(self, action: Action, what: str, cause: str) -> None:
        pass

    def capacity(self, stage: str, node: Node) -> None:
        pass

    def utilization(self, resource: Resource, node: Node) -> None:
        pass

    def notice(self, text: str) -> None:
        pass
