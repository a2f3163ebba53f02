# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading haresources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.haresources.model.haresources import HaresourcesError, parse


def test_groups_with_continued_lines_comments_and_addresses() -> None:
    text = (
        "# the web\nAlpha 192.0.2.1/24/eth0 Filesystem::/dev/sda1::/srv \\\n  apache # last\n\nbeta IPaddr::192.0.2.2\n"
    )
    groups = parse(text, "haresources").groups
    assert [(group.node, group.line) for group in groups] == [("alpha", 2), ("beta", 5)]
    assert [(r.script, r.arguments) for r in groups[0].resources] == [
        ("IPaddr", ("192.0.2.1/24/eth0",)), ("Filesystem", ("/dev/sda1", "/srv")), ("apache", ()),
    ]  # fmt: skip
    assert groups[0].key == "192.0.2.1/24/eth0"
    assert groups[1].key == "IPaddr::192.0.2.2"
    assert parse(text, "h").at_home_on("beta") == groups[1:]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alpha\n", "h:1: no resource follows node alpha"),
        ("alpha a\nbeta a\n", "h:2: a is on line 1 already"),
        ("alpha ../../bin/sh\n", "h:1: '../../bin/sh' is no name of a script"),
        ("alpha -rf\n", "h:1: '-rf' is no name of a script"),
        ("al/pha a\n", "h:1: 'al/pha' is no name of a node"),
        ("alpha x::a\0b\n", "h:1: a NUL byte"),
        ("alpha " + "a" * 2000, "h:1: a resource of more than 1000 characters"),
        ("alpha " + " ".join(f"a{n}" for n in range(101)), "h:1: more than 100 resources"),
        ("\n".join(f"alpha a{n}" for n in range(501)), "h: more than 500 groups"),
        ("#" * 2_000_000, "h: longer than"),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, problem: str) -> None:
    with pytest.raises(HaresourcesError) as caught:
        parse(text, "h")
    assert caught.value.problems[0].startswith(problem)


@given(
    st.text(max_size=400)
    | st.lists(st.sampled_from(["alpha ", "a::b ", "\\", "\n", "#", "1.2.3.4/", "\0"])).map("".join)
)
def test_garbage_is_read_or_refused(text: str) -> None:
    try:
        groups = parse(text, "h").groups
    except HaresourcesError as error:
        assert error.problems
    else:
        assert all(group.resources for group in groups)
