# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion for bash: options, sub-commands, and the values an option chooses from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from ha.cli.manuals.content import Manual

HEAD = """\
# Completion of Heartbeat's commands for bash. Made from their own parsers by "ha docs completion bash".
_ha_complete() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} place=$1 i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ -n ${_ha_words["$place ${COMP_WORDS[i]}"]+set} ]] && place+=" ${COMP_WORDS[i]}"
    done
    local choices=${_ha_choices["$place $before"]-}
    if [[ -n $choices ]]; then
        COMPREPLY=($(compgen -W "$choices" -- "$word"))
    else
        COMPREPLY=($(compgen -W "${_ha_words["$place"]}" -- "$word"))
    fi
}
declare -gA _ha_words _ha_choices
"""


def for_bash(manuals: Sequence[Manual]) -> str:
    lines = [HEAD.rstrip()]
    for manual in manuals:
        lines += _tables(manual)
    names = " ".join(manual.name for manual in manuals)
    return "\n".join([*lines, f"complete -o default -F _ha_complete {names}", ""])


def _tables(manual: Manual) -> Iterator[str]:
    parts = [part.name.rsplit(" ", 1)[-1] for part in manual.parts]
    words = [*parts, *(name for item in manual.options for name in item.names)]
    yield f"_ha_words[{shlex.quote(manual.name)}]={shlex.quote(' '.join(words))}"
    for item in manual.options:
        for name in item.names if item.choices else ():
            yield f"_ha_choices[{shlex.quote(f'{manual.name} {name}')}]={shlex.quote(' '.join(item.choices))}"
    for part in manual.parts:
        yield from _tables(part)
