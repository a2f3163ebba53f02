# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of parameters that are kept out of the CIB: there they read `lrm://`, and stand in files of each node.

    /var/lib/heartbeat/lrm/secrets/RESOURCE/PARAMETER        the value and a line feed
    /var/lib/heartbeat/lrm/secrets/RESOURCE/PARAMETER.sign   the MD5 of the value, as Pacemaker's cibsecret writes it

Both 0600, below directories of 0700. The sum finds files that were cut short or changed by half; it proves no author:
who can write here is root.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ha.root import Root

MAGIC = "lrm://"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+@-]{0,255}")
"""Of resources and parameters: never one that leads out of the directory."""
MAX_SECRET_BYTES = 65_536
SIGN = ".sign"


class SecretError(Exception):
    """A secret cannot be had; the text names resource and parameter, never the value."""


class NoSecret(SecretError):
    """There is no file of it on this node."""


class NoSum(SecretError):
    """The value stands without its sum."""


class WrongSum(SecretError):
    """The value is not the one that the sum was made of."""


def secrets_dir(root: Root) -> Path:
    return root.state_dir / "lrm" / "secrets"


def sum_of(value: str) -> str:
    return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()


def read(root: Root, resource_id: str, parameter: str) -> str:
    """The value, its sum verified. Raises SecretError."""
    path = _path(root, resource_id, parameter)
    name = f"parameter {parameter} of {resource_id}"
    try:
        value = _content(path)
    except FileNotFoundError:
        raise NoSecret(f"the secret {name} is not on this node: {path} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"the secret {name} cannot be read: {error}") from error
    try:
        kept = _content(Path(f"{path}{SIGN}"))
    except (OSError, UnicodeDecodeError) as error:
        raise NoSum(f"there is no MD5 hash for the secret {name}: {error}") from error
    if kept != sum_of(value):
        raise WrongSum(f"MD5 hash mismatch for the secret {name}")
    return value


def write(root: Root, resource_id: str, parameter: str, value: str) -> None:
    """Raises SecretError for what cannot be a secret, OSError."""
    if "\n" in value or "\x00" in value or len(value.encode()) > MAX_SECRET_BYTES:
        raise SecretError(f"a secret is one line of at most {MAX_SECRET_BYTES} bytes")
    path = _path(root, resource_id, parameter)
    for directory in (secrets_dir(root).parent, secrets_dir(root), path.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The old sum first: between the two renames the pair is refused, not believed.
    _replace(path, f"{value}\n")
    _replace(Path(f"{path}{SIGN}"), f"{sum_of(value)}\n")


def remove(root: Root, resource_id: str, parameter: str) -> None:
    path = _path(root, resource_id, parameter)
    for file in (path, Path(f"{path}{SIGN}")):
        file.unlink(missing_ok=True)


def all_secrets(root: Root) -> list[tuple[str, str, str]]:
    """Every (resource, parameter, value) of this node. Raises SecretError for one that is not whole."""
    found = []
    directory = secrets_dir(root)
    if not directory.is_dir():
        return []
    for path in sorted(directory.glob("*/*")):
        if path.suffix != SIGN and NAME.fullmatch(path.name) and NAME.fullmatch(path.parent.name):
            found.append((path.parent.name, path.name, read(root, path.parent.name, path.name)))
    return found


def substitute(root: Root, resource_id: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters with the values of secrets in their places; an instance of a clone has its primitive's.

    Raises SecretError.
    """
    filled = dict(parameters)
    for name, value in sorted(parameters.items()):
        if value == MAGIC:
            filled[name] = read(root, re.sub(r":[0-9]+$", "", resource_id), name)
    return filled


def _path(root: Root, resource_id: str, parameter: str) -> Path:
    for name in (resource_id, parameter):
        if not NAME.fullmatch(name) or name.endswith(SIGN):
            raise SecretError(f"{name!r} is no name of a resource or parameter that can have a secret")
    return secrets_dir(root) / resource_id / parameter


def _content(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(MAX_SECRET_BYTES + 2)
    if len(data) > MAX_SECRET_BYTES + 1:
        raise OSError(27, "is larger than a secret can be", str(path))
    return data.decode("utf-8").rstrip("\n")


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    scratch.rename(path)
