"""What seqloom raises. A message says where, what was got, what is allowed and what to type."""


class SeqloomError(Exception):
    """Any mistake in the user's data, settings or folders; the command line prints it without a traceback."""


class ConfigError(SeqloomError):
    """A setting that does not exist, does not fit its type, or contradicts another."""


class DataError(SeqloomError):
    """A table that cannot be read or used as asked."""


class LeakError(SeqloomError):
    """A partition that shows the model its test rows while it trains."""


class RunError(SeqloomError):
    """A run folder that is missing, unfinished, or holds another run."""


class MissingExtra(SeqloomError):
    """An optional library that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)  # both, so that it can travel from one process to another

    def __str__(self) -> str:
        what, extra = self.args
        return f"{what} needs an optional library; type: pip install 'seqloom[{extra}]'"
