"""Which column means what: sequences, targets, identifiers, sets, groups, context.

What the user names counts; then the names the field uses (`conventions`); then what the columns hold. Every choice has its
reason. Whether the rows are fit for use is left to `seqloom.check`.
"""

from seqloom.roles.columns import Columns
from seqloom.roles.find import Roles, find_roles

__all__ = ["Columns", "Roles", "find_roles"]
