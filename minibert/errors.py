"""The one error that is meant to be read by a person."""


class MinibertError(ValueError):
    """Bad input, explained in one sentence: what was wrong, what was expected, what to do.

    The command line prints the sentence without a traceback and exits with status 2; in Python it is a
    ``ValueError`` like any other.
    """
