# SPDX-License-Identifier: GPL-2.0-or-later
"""Which values are secret, and texts without them.

A CIB tells where its secrets are: in values named like passwords, and in those that an agent declared private
(op-secure-params in the history). What is secret there is taken out of every text, wherever an agent repeated it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml import etree

MASK = "******"
SECRET_NAME = re.compile(
    r"pass(?!_?(ive|through))|secret|token|credential|community|priv(ate)?_?key|auth_?key|api_?key"
    r"|^key$|^pin$|_pin$|login|^user(name)?$",
    re.IGNORECASE,
)
LEAST_SECRET_LENGTH = 4
"""A shorter value is masked where it stands, but not looked for elsewhere: "no" would be everywhere."""


def secrets_of(cib: bytes) -> set[str]:
    """The secret values of a CIB; of what is no XML, none: it has to be left out."""
    try:
        root = etree.fromstring(cib, etree.XMLParser(resolve_entities=False, huge_tree=True))
    except etree.XMLSyntaxError:
        return set()
    private = {name for done in root.iter("lrm_rsc_op") for name in (done.get("op-secure-params") or "").split()}
    pairs = ((pair.get("name") or "", pair.get("value") or "") for pair in root.iter("nvpair"))
    return {value for name, value in pairs if value and (name in private or SECRET_NAME.search(name))}


def mask_cib(cib: bytes) -> bytes | None:
    """The same CIB with every secret value masked; None for what is no XML: nobody knows what is secret in it."""
    try:
        root = etree.fromstring(cib, etree.XMLParser(resolve_entities=False, huge_tree=True))
    except etree.XMLSyntaxError:
        return None
    known = secrets_of(cib)
    for pair in root.iter("nvpair"):
        if pair.get("value") in known:
            pair.set("value", MASK)
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, mask_text(str(value), known))
    return etree.tostring(root, pretty_print=True)


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """Every secret that is long enough to be told from other words is replaced; the longest first."""
    for secret in sorted((s for s in set(secrets) if len(s) >= LEAST_SECRET_LENGTH), key=len, reverse=True):
        for form in {secret, _escaped(secret)}:
            text = text.replace(form, MASK)
    return text


def _escaped(text: str) -> str:
    """As it stands in XML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def masked_keys(authkeys: str) -> tuple[str, set[str]]:
    """authkeys without its secrets, and these."""
    lines, secrets = [], set()
    for line in authkeys.splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and words[0].isdigit():
            secrets.add(words[2].strip())
            line = f"{words[0]} {words[1]} {MASK}"
        elif words[:1] != ["auth"]:
            line = line if line.startswith("#") else ""
        lines.append(line)
    return "\n".join(lines) + "\n", secrets
