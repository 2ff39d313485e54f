"""CLEVRER files that tests write and break."""

import json

import hypothesis
import official

QUICK = hypothesis.settings(deadline=None, max_examples=60)


PROPOSALS = json.dumps(official.proposals(official.MOVING))


def frames(content):
    return content["motion_trajectory"] if "motion_trajectory" in content else content["frames"]


def reason(function, *arguments):
    """The message of the one kind of error that a broken file may raise, or ""."""
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return ""
