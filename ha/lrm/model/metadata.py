# SPDX-License-Identifier: GPL-2.0-or-later
"""Meta-data of classes whose agents have none: made from the header of an LSB script, or generic.

Sources: OCF Resource Agent API 1.1 (document form); LSB 5.0 chapter 22.3 (comment conventions).
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

LSB_BEGIN = "### BEGIN INIT INFO"
LSB_END = "### END INIT INFO"
MAX_LSB_HEADER_LINES = 100
HEARTBEAT_ARGUMENTS = 5
SCRIPT_ACTIONS = (
    '<action name="start" timeout="15s"/><action name="stop" timeout="15s"/>'
    '<action name="status" timeout="15s"/><action name="monitor" timeout="15s" interval="15s"/>'
)


def lsb_header(script: str) -> dict[str, str]:
    """The keywords of the header comment, such as Provides and Short-Description; empty without a header."""
    keywords: dict[str, str] = {}
    last = ""
    inside = False
    for line in script.splitlines()[:MAX_LSB_HEADER_LINES]:
        if line.startswith(LSB_BEGIN):
            inside = True
        elif line.startswith(LSB_END):
            break
        elif inside and (line.startswith(("#  ", "#\t")) and last == "Description"):
            keywords[last] += " " + line[1:].strip()
        elif inside and line.startswith("# ") and ":" in line:
            last, _, value = line[2:].partition(":")
            keywords[last] = value.strip()
    return keywords


def lsb_metadata(name: str, script: str) -> str:
    header = lsb_header(script)
    short = header.get("Short-Description", f"init script {name}")
    long = header.get("Description", short)
    wants = "".join(
        f"<!-- {keyword}: {escape(header[keyword]).replace('--', '- -')} -->"
        for keyword in ("Provides", "Required-Start", "Required-Stop", "Default-Start", "Default-Stop")
        if keyword in header
    )
    return document(name, short, long, parameters="", wants=wants)


def heartbeat_metadata(name: str) -> str:
    parameters = "".join(
        f'<parameter name="{number}" unique="0"><longdesc lang="en">Argument {number} of the script, before the '
        f'action.</longdesc><shortdesc lang="en">argument {number}</shortdesc><content type="string" default=""/>'
        "</parameter>"
        for number in range(1, HEARTBEAT_ARGUMENTS + 1)
    )
    return document(name, f"heartbeat script {name}", f"Heartbeat resource script {name}", parameters=parameters)


def document(
    name: str, short: str, long: str, *, parameters: str, wants: str = "", actions: str = SCRIPT_ACTIONS
) -> str:
    return (
        '<?xml version="1.0"?>'
        f'<resource-agent name={quoteattr(name)} version="1.0"><version>1.1</version>'
        f'<longdesc lang="en">{escape(long)}</longdesc><shortdesc lang="en">{escape(short)}</shortdesc>'
        f"<parameters>{parameters}</parameters><actions>"
        f'{actions}<action name="meta-data" timeout="5s"/></actions>{wants}</resource-agent>'
    )
