# SPDX-License-Identifier: GPL-2.0-or-later
"""The hook through which the engine says why. The engine itself never logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ha.pe.model.action import Action
    from ha.pe.model.node import Node
    from ha.pe.model.resource import Resource


class Reporter(Protocol):
    """Hears the engine's decisions as they are made, in a defined order.

    * `score`: the score of a node for a resource changed. `cause` names the constraint, option or rule of behaviour.
    * `table`: the scores at a named stage (`pcmk__primitive_assign` ... as crm_simulate -s prints them).
    * `promotion`: the promotion score of an instance; `node` is None for one without a place.
    * `assigned`: the place of a resource was decided, None for none.
    * `action`: an action became required, or unrunnable.
    * `capacity`, `utilization`: node capacities and what a resource takes (crm_simulate -U).
    * `notice`: a sentence for the operator.
    """

    def score(self, resource: Resource, node: Node, term: int, total: int, cause: str) -> None: ...

    def table(self, stage: str, resource: Resource) -> None: ...

    def promotion(self, resource: Resource, node: Node | None, score: int) -> None: ...

    def assigned(self, resource: Resource, node: Node | None) -> None: ...

    def action(self, action: Action, what: str, cause: str) -> None: ...

    def capacity(self, stage: str, node: Node) -> None: ...

    def utilization(self, resource: Resource, node: Node) -> None: ...

    def notice(self, text: str) -> None: ...


class Silence:
    """The reporter of those who do not ask why."""

    def score(self, resource: Resource, node: Node, term: int, total: int, cause: str) -> None:
        pass

    def table(self, stage: str, resource: Resource) -> None:
        pass

    def promotion(self, resource: Resource, node: Node | None, score: int) -> None:
        pass

    def assigned(self, resource: Resource, node: Node | None) -> None:
        pass

    def action(self, action: Action, what: str, cause: str) -> None:
        pass

    def capacity(self, stage: str, node: Node) -> None:
        pass

    def utilization(self, resource: Resource, node: Node) -> None:
        pass

    def notice(self, text: str) -> None:
        pass
