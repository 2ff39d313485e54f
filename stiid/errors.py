"""What errors of other libraries say, for errors of ours that tell what to do."""


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or repr(error)).splitlines()[0]
