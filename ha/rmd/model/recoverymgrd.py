# SPDX-License-Identifier: GPL-2.0-or-later
"""recoverymgrd.conf: which script is run, and as whom, when an application that apphbd watches has failed.

    nobody:nogroup /usr/lib/player/restart/player {
        APPHB_NOHB = "restart"       # events, each with the script's argument, or without
        APPHB_HUP
        runs = 5/60                  # ours: so many runs in so many seconds; the next one waits
    }

The script is for the application of its base name. Source: Heartbeat 2.1's recoverymgrd. Words in lower case are our
additions:

    instance = NAME     this instance alone                                                           (all)
    uid = USER          whose applications these are, by name or number                               (USER, and root)
    gid = GROUP         and of which group                                                            (any)
    kill = yes|no       after NOHB and HUP, end what is left of the application's process first       (yes)
    interval_ms = N     from the begin of one run to the begin of the next                            (1000)
    runs = N/SECONDS    see above                                                                     (5/60)
    timeout_ms = N      a script that runs longer is killed, with its process group                   (60000)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ha.apphbd.model import FALSE_WORDS, MAX_CONFIG_BYTES, TRUE_WORDS, ConfigError

MAX_ACTIONS = 64
MAX_ARGUMENT_LENGTH = 1000

EVENTS = ("HUP", "NOHB", "HBAGAIN", "HBWARN", "HBUNREG")
"""As apphbd reports them; in the file with APPHB_ before."""

_TOKEN = re.compile(r'(?P<blank>[ \t\r]+|#[^\n]*)|(?P<newline>\n)|"(?P<quoted>[^"\n]*)"|(?P<sign>[{}=])|[^\s{}="#]+')
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class RecoveryStanza:
    """One block of the file; users and groups by the names that stand there."""

    where: str
    """file:line, for messages"""
    user: str
    group: str
    script: str
    arguments: dict[str, str | None] = field(default_factory=dict)
    """By event. None: the script is run without an argument."""
    instance: str | None = None
    uid: str | None = None
    gid: str | None = None
    kill: bool = True
    interval_ms: int = 1_000
    max_runs: int = 5
    period_ms: int = 60_000
    timeout_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Account:
    """As whom a script is run: what the user database says of USER."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class RecoveryAction:
    """A stanza whose users and groups have been found."""

    stanza: RecoveryStanza
    account: Account
    uids: frozenset[int]
    """Whose applications these are."""
    gid: int | None

    @property
    def application(self) -> str:
        return self.stanza.script.rpartition("/")[2]

    def concerns(self, name: str, instance: str, uid: int, gid: int) -> bool:
        """Whether it is for the application that registered so."""
        return (
            name == self.application
            and self.stanza.instance in {None, instance}
            and uid in self.uids
            and self.gid in {None, gid}
        )


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    line: int
    quoted: bool = False


def read_recoverymgrd_conf(text: str, source: str) -> tuple[RecoveryStanza, ...]:
    """Raises ConfigError with file, line and mistake."""
    if len(text.encode("utf-8", "replace")) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{source}: larger than {MAX_CONFIG_BYTES} bytes; this is not a configuration file of ours")
    tokens = _Tokens(text, source)
    stanzas: list[RecoveryStanza] = []
    while (token := tokens.take()) is not None:
        if len(stanzas) >= MAX_ACTIONS:
            raise ConfigError(f"{source}:{token.line}: more than {MAX_ACTIONS} scripts")
        stanzas.append(_stanza(token, tokens))
    return tuple(stanzas)


class _Tokens:
    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._tokens = list(self._split(text))
        self._next = 0

    def _split(self, text: str) -> Iterator[_Token]:
        line, at = 1, 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                # The only thing that matches nothing is a quotation mark without its fellow, or an exotic blank.
                what = "a quotation mark is not closed on its line" if text[at] == '"' else f"{text[at]!r} is no blank"
                raise ConfigError(f"{self._source}:{line}: {what}")
            at = found.end()
            if found["newline"]:
                line += 1
            elif not found["blank"]:
                quoted = found["quoted"] is not None
                word = found["quoted"] if quoted else found[0]
                if not word.isprintable():
                    raise ConfigError(f"{self._source}:{line}: {word!r} holds what cannot be printed")
                yield _Token(word, line, quoted)

    def take(self) -> _Token | None:
        """None at the end."""
        if self._next == len(self._tokens):
            return None
        self._next += 1
        return self._tokens[self._next - 1]

    def expect(self, what: str) -> _Token:
        token = self.take()
        if token is None:
            line = self._tokens[-1].line
            raise ConfigError(f"{self._source}:{line}: the file ends where {what} is expected")
        return token

    def sign(self, sign: str) -> None:
        token = self.expect(repr(sign))
        if token.text != sign or token.quoted:
            raise self.error(token, f"{sign!r} is expected, not {token.text!r}")

    def value(self) -> str | None:
        """What follows a `=`; None without one."""
        if self._next < len(self._tokens) and self._tokens[self._next].text == "=":
            self.sign("=")
            token = self.expect("a value")
            if not token.quoted and token.text in "{}=":
                raise self.error(token, f"a value is expected after '=', not {token.text!r}")
            return token.text
        return None

    def error(self, token: _Token, text: str) -> ConfigError:
        return ConfigError(f"{self.where(token)}: {text}")

    def where(self, token: _Token) -> str:
        return f"{self._source}:{token.line}"


def _stanza(owner: _Token, tokens: _Tokens) -> RecoveryStanza:
    user, colon, group = owner.text.partition(":")
    if owner.quoted or not user or not colon or not group:
        raise tokens.error(owner, f"USER:GROUP is expected, not {owner.text!r}")
    script = tokens.expect("a script")
    name = script.text.rpartition("/")[2]
    if not script.text.startswith("/") or name in {"", ".", ".."}:
        raise tokens.error(script, f"the script is an absolute path, not {script.text!r}")
    tokens.sign("{")
    arguments: dict[str, str | None] = {}
    settings: dict[str, str | int | bool] = {}
    seen: set[str] = set()
    while (token := tokens.expect("'}'")).text != "}" or token.quoted:
        if token.text in seen:
            raise tokens.error(token, f"{token.text} stands here twice")
        seen.add(token.text)
        _entry(token, tokens.value(), arguments, settings, tokens)
    if not arguments:
        raise tokens.error(owner, f"{script.text} is run at no event: name one, such as APPHB_NOHB")
    return RecoveryStanza(tokens.where(owner), user, group, script.text, arguments, **settings)  # type: ignore[arg-type]


def _entry(
    token: _Token,
    value: str | None,
    arguments: dict[str, str | None],
    settings: dict[str, str | int | bool],
    tokens: _Tokens,
) -> None:
    event = token.text.removeprefix("APPHB_")
    if event in EVENTS and event != token.text:
        if value is not None and len(value) > MAX_ARGUMENT_LENGTH:
            raise tokens.error(token, f"an argument has {MAX_ARGUMENT_LENGTH} characters at most")
        arguments[event] = value
        return
    if value is None:
        known = ", ".join(f"APPHB_{known}" for known in EVENTS)
        raise tokens.error(token, f"{token.text!r} is no event; events are {known}")
    match token.text:
        case "instance" | "uid" | "gid":
            settings[token.text] = value
        case "kill" if value.lower() in TRUE_WORDS | FALSE_WORDS:
            settings["kill"] = value.lower() in TRUE_WORDS
        case "interval_ms" | "timeout_ms" if _NUMBER.fullmatch(value) and 0 < int(value) <= 86_400_000:
            settings[token.text] = int(value)
        case "runs" if (runs := _runs(value)) is not None:
            settings["max_runs"], settings["period_ms"] = runs
        case "kill" | "interval_ms" | "timeout_ms" | "runs":
            wanted = {"kill": "yes or no", "runs": "runs/seconds, such as 5/60"}.get(token.text, "1 to 86400000")
            raise tokens.error(token, f"{token.text} is {wanted}, not {value!r}")
        case _:
            raise tokens.error(token, f"{token.text!r} is nothing that recoverymgrd.conf knows")


def _runs(value: str) -> tuple[int, int] | None:
    number, _, period_s = value.partition("/")
    if not _NUMBER.fullmatch(number) or not _NUMBER.fullmatch(period_s):
        return None
    if not 1 <= int(number) <= 1_000 or not 1 <= int(period_s) <= 86_400:
        return None
    return int(number), int(period_s) * 1_000
