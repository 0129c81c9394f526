"""The ways a run can stop, each with the exit code the command line answers with."""


class RapportError(Exception):
    """A stop that a person can act on: its text is the whole message, no traceback is shown."""

    exit_code = 1


class ConfigurationError(RapportError):
    """The business file, a ruler or the command's arguments are wrong."""

    exit_code = 2


class GateRefused(RapportError):
    """An audit or a gate stopped the run before anything was published."""

    exit_code = 3


class ChangeHeld(GateRefused):
    """More accounts would change segment than a run may move unseen."""


class SourceError(RapportError):
    """A source is missing, unreadable or not what the business file says it is."""

    exit_code = 4


class WarehouseError(RapportError):
    """The warehouse refused, or did not hold what was published to it."""

    exit_code = 5


class Busy(RapportError):
    """Another run holds the warehouse or the state directory."""

    exit_code = 75
