# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 2: node health attributes become location preferences (option node-health-strategy)."""

from __future__ import annotations

from ha.pe.core.location import new_location
from ha.pe.model import scores
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.values import is_true

_COLOURS = ("red", "yellow", "green")


def read_health_colours(cluster: Cluster) -> None:
    """The scores that the words red, yellow and green stand for under the strategy."""
    strategy = cluster.option("node-health-strategy").lower()
    colours = dict.fromkeys(_COLOURS, 0)
    if strategy == "migrate-on-red":
        colours["red"] = scores.MINUS_INFINITY
    elif strategy == "only-green":
        colours["red"] = colours["yellow"] = scores.MINUS_INFINITY
    elif strategy != "none":
        for colour in _COLOURS:
            colours[colour] = scores.parse_or(cluster.option(f"node-health-{colour}"))
    cluster.health_colours = colours


def node_health(cluster: Cluster, node: Node, base: int) -> int:
    """The sum of a node's health attributes, on top of `base`."""
    total = base
    for name, value in node.attributes.items():
        if name.startswith("#health"):
            score = scores.parse(value, 0, cluster.health_colours)
            if score is not None:
                total = scores.add(score, total)
    return total


def health_grade(cluster: Cluster, node: Node) -> int:
    """1 for a healthy node, 0 for a yellow one, -1 for a red one (for the status display)."""
    if cluster.option("node-health-strategy").lower() == "none":
        return 1
    grade = 1
    colours = cluster.health_colours
    for name, value in node.attributes.items():
        if not name.startswith("#health"):
            continue
        word = value.lower()
        if word == "red":
            return -1
        if word == "yellow":
            grade = 0
            continue
        score = scores.parse(value, 0, colours)
        if score is None:
            continue
        if score <= colours["red"]:
            return -1
        if score <= colours["yellow"] and colours["yellow"] != colours["green"]:
            grade = 0
    return grade


def apply_node_health(cluster: Cluster) -> None:
    """Adds a location preference for every resource on every node that is not simply healthy."""
    strategy = cluster.option("node-health-strategy")
    if strategy.lower() == "none":
        return
    base = scores.parse_or(cluster.option("node-health-base")) if strategy.lower() == "progressive" else 0
    for node in cluster.nodes:
        health = node_health(cluster, node, base)
        if health == 0:
            continue
        for resource in cluster.resources:
            if health < 0 and is_true(resource.meta.get("allow-unhealthy-nodes")):
                continue
            new_location(strategy, resource, health, None, node)
