# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders of cases, and our crm_simulate run on one case.

A folder of cases has `cases.json` and the data, packed or not; a folder of such folders will do as well. The judge is
`check_scheduler.py`, which lies beside the cases or above them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ha.cli.crm_simulate import main as crm_simulate

VISIBLE = Path(os.environ.get("HA_CASES") or Path(__file__).resolve().parents[3] / "shared" / "conformance")
"""Where the visible cases are, if they are here at all: beside this checkout, or where HA_CASES says."""
RATCHET = Path(__file__).with_name("ratchet.json")
LEVELS = ("L1", "L2", "L3", "L4")


def case_folders(folder: Path) -> list[Path]:
    """The folder itself if it holds cases, else its subfolders that do."""
    if any((folder / name).exists() for name in ("cases.json", "cases.tar.xz", "xml")):
        return [folder]
    return [sub for sub in sorted(folder.iterdir()) if sub.is_dir() and (sub / "cases.json").exists()]


def load_judge(folder: Path) -> ModuleType:
    """Raises FileNotFoundError if there is no judge."""
    for place in (folder, *folder.resolve().parents, VISIBLE):
        path = place / "check_scheduler.py"
        if path.is_file():
            spec = importlib.util.spec_from_file_location("check_scheduler", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules["check_scheduler"] = module
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError(f"no check_scheduler.py beside {folder} or above")


def verdicts(judge: ModuleType, folder: Path, names: frozenset[str] | None = None) -> Iterator[Any]:
    """The judge's verdict on every case (of these names) of a folder, in the folder's order."""
    cases = judge.CaseSet(folder)
    try:
        for case in cases.cases:
            if names is None or case.name in names:
                yield judge.judge(case, cases, produce(judge, cases, case), set(judge.ASPECTS))
    finally:
        cases.close()


def produce(judge: ModuleType, cases: Any, case: Any) -> Any:
    """What our crm_simulate gives for one case: the two runs that the judge would make."""
    out = judge.Output()
    xml = str(cases.path(case, "xml"))
    with tempfile.TemporaryDirectory(prefix="simulate-") as folder:
        dot, graph = Path(folder, "out.dot"), Path(folder, "out.exp")
        out.summary, _ = _call(["-x", xml, "-S", *case.args], out, merge=True)
        options = ["-x", xml, "-D", str(dot), "-G", str(graph), "-sSQ", *case.args]
        out.scores, out.stderr = _call(options, out, merge=False)
        out.graph = graph.read_text() if graph.exists() else ""
        out.dot = dot.read_text() if dot.exists() else ""
    return out


def _call(options: list[str], out: Any, *, merge: bool) -> tuple[str, str]:
    told, warned = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told if merge else warned):
            code = crm_simulate(options)
    except Exception as error:
        out.trouble.append(f"{type(error).__name__}: {error}")
        return "", ""
    if code:
        out.trouble.append(f"exit status {code}: {(warned.getvalue() or told.getvalue()).strip()[-200:]}")
    return told.getvalue(), warned.getvalue()
