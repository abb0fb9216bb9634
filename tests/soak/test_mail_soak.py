"""A short soak of mail: a thousand messages through Postfix while we are killed: none lost, none altered."""

from __future__ import annotations

import os
import sys

import pytest

from tests.soak.mail import soak
from tests.support.mailing import open_folder

MESSAGES = 1000


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix changes its user")
def test_a_thousand_messages_while_we_are_killed() -> None:
    with open_folder("soak") as top:
        outcome = soak(top, MESSAGES, 1)
    print(outcome, file=sys.stderr)
    assert outcome.complaints == []
    assert outcome.kills.total() > 5
    assert outcome.kept > 0
    assert outcome.copies < MESSAGES / 10
