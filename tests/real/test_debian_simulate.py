# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's crm_simulate, where it is installed, beside ours: the same XML, element by element."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from tests.unit.cli.simulated_cluster import CLUSTER, PROMOTED

THEIRS = Path("/usr/sbin/crm_simulate")
OURS = Path(sys.executable).parent / "crm_simulate"
RENAMED = {"pcmk__finalize_assignment": "pcmk__assign_resource", "pcmk__clone_allocate": "pcmk__clone_assign"}
"""Functions that give scores, by their names of 2.1.5 and today's."""
CLUSTERS = {
    # 2.1.5 looks up the capacity of no resource before it ran somewhere; the rest is the same.
    "of every kind": CLUSTER.replace(b'value="utilization"', b'value="default"'),
    "demotion": PROMOTED,
}
VERSION = b'<cib admin_epoch="0" epoch="1" num_updates="0" '
"""What the reference changes must be valid, and no newer than itself."""

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not THEIRS.exists(), reason="Pacemaker's crm_simulate is not installed here"),
]


def answer(tool: Path, options: list[str], directory: Path) -> list[object]:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "CIB_shadow_dir": str(directory),
        "HOME": str(directory),
    }  # fmt: skip
    done = subprocess.run(
        [tool, "-x", str(directory / "in.xml"), "-t", "2023-11-14 22:13:20Z", "--output-as=xml", *options],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [shape(element) for element in etree.fromstring(done.stdout, etree.XMLParser(remove_blank_text=True))]


def shape(element: etree._Element) -> tuple[object, ...]:
    """What is compared: tag, attributes, text, children in their order; not the moment of this run."""
    attributes = {str(name): RENAMED.get(str(value), str(value)) for name, value in element.items()}
    if attributes.get("name", "").startswith(("last-failure", "fail-count")):
        attributes.pop("value", None)
    if element.getparent() is not None and "revised" in str(element.getroottree().getpath(element)):
        for name in ("last-rc-change", "last-failure"):
            attributes.pop(name, None)
    return (element.tag, attributes, (element.text or "").strip(), [shape(child) for child in element])


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize(
    "options",
    [
        ["-R"], ["-S"], ["-S", "-A", "-c"], ["-S", "-s", "-U"], ["-S", "-d", "n1", "-g", "T", "-r", "T"],
        ["-S", "-f", "n2", "-q", "1"], ["-S", "-w", "1", "-b", "T", "-e", "T"],
    ],
)  # fmt: skip
def test_side_by_side(name: str, options: list[str], tmp_path: Path) -> None:
    version = subprocess.run([THEIRS, "--version"], capture_output=True, text=True, check=False).stdout
    if "2.1.5" not in version:
        pytest.skip(f"compared with 2.1.5; here is {version.splitlines()[0] if version else '?'}")
    (tmp_path / "in.xml").write_bytes(CLUSTERS[name].replace(b"<cib ", VERSION, 1).replace(b"3.20.5", b"3.16.1"))
    os.chmod(tmp_path, 0o755)
    assert answer(OURS, options, tmp_path) == answer(THEIRS, options, tmp_path)
