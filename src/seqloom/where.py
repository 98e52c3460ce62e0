"""Row filters: `mhc == 'HLA-A*02:01' and len(sequence) > 8`, read as an expression, never run as Python.

Comparisons (==, !=, <, <=, >, >=, in, not in) of columns with numbers, text or each other; `len(column)`; and, or, not,
parentheses; `column is None` for a missing value. Odd column names stand in backticks. A row where a compared value is
missing is not kept, whether the comparison is negated or not.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import DataError
from seqloom.read.numbers import is_text
from seqloom.registry import nearest

if TYPE_CHECKING:
    from seqloom.table import Table

COMPARISONS = {
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
}
QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|`([^`]+)`""")
N_SAMPLES = 5


def rows_where(text: str, table: Table) -> np.ndarray:
    """The rows (from 0) that the filter keeps, int64 (M,) with M >= 1.

    Raises DataError for what is no filter, for a column that is not there, for comparing text with numbers, and when no row
    is kept: the message then shows what the columns hold.
    """
    filter_ = _Filter(text, table)
    keep = filter_.mask()
    rows = np.flatnonzero(np.asarray(pc.fill_null(keep, False).to_numpy(zero_copy_only=False), bool))
    if len(rows) == 0:
        raise DataError(
            f"{table.source.name}: the filter {text!r} keeps none of {table.n_rows} rows; {filter_.held()}; change the filter"
        )
    return rows


def truth_of(text: str, table: Table) -> pa.Array:
    """Whether the expression holds in each row, bool (N,), null where a compared value is missing; DataError as `rows_where`."""
    return _Filter(text, table).mask()


class _Filter:
    """One filter over one table; evaluates its syntax tree with Arrow functions."""

    def __init__(self, text: str, table: Table) -> None:
        self.text, self.table = text, table
        self.names: dict[str, str] = {}
        self.seen: dict[str, None] = {}
        try:
            self.tree = ast.parse(QUOTED.sub(self._placeholder, text).strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self.refusal(f"it cannot be read: {error.args[0] if error.args else 'too deep'}") from None

    def mask(self) -> pa.Array:
        """bool (N,), null where a compared value is missing."""
        try:
            return self.truth(self.tree)
        except RecursionError:
            raise self.refusal("it is nested too deeply") from None

    def held(self) -> str:
        """What the columns of the filter hold, for the message that nothing was kept."""
        return "; ".join(f"column {name!r} holds {self.samples(name)}" for name in self.seen)

    def samples(self, name: str) -> str:
        column = self.column(name)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            span = pc.min_max(column).as_py()
            return f"numbers from {span['min']} to {span['max']}"
        values = pc.unique(column.drop_null().slice(0, 10_000)).slice(0, N_SAMPLES).to_pylist()
        return ", ".join(map(repr, values)) + (", ..." if len(values) == N_SAMPLES else "")

    def refusal(self, reason: str) -> DataError:
        return DataError(
            f"where = {self.text!r}: {reason}; a filter reads like: mhc == 'HLA-A*02:01' and len(peptide) > 8 "
            "(== != < <= > >= in, and or not, parentheses, backticks around odd column names)"
        )

    def truth(self, node: ast.expr) -> pa.Array:
        """A condition as bool (N,)."""
        match node:
            case ast.BoolOp(op=op, values=values):
                combine = pc.and_kleene if isinstance(op, ast.And) else pc.or_kleene
                result = self.truth(values[0])
                for each in values[1:]:
                    result = combine(result, self.truth(each))
                return result
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return pc.invert(self.truth(operand))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                result, sides = None, [left, *comparators]
                for first, compare, second in zip(sides, ops, comparators, strict=False):
                    held = self.comparison(first, compare, second)
                    result = held if result is None else pc.and_kleene(result, held)
                return result
            case ast.Name(id=name):
                column = self.column(self.names.get(name, name))
                if pa.types.is_boolean(column.type):
                    return column
        raise self.refusal(f"{self.shown(node)} is not a condition")

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pa.Array:
        """One comparison as bool (N,)."""
        result = self.compared(left, op, right)
        if isinstance(result, pa.Scalar):
            raise self.refusal(f"{self.shown(left)} and {self.shown(right)} are both constants")
        return result

    def compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pa.Array | pa.Scalar:
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self.refusal("`is` is for `is None` and `is not None`; use == to compare")
            missing = pc.is_null(self.values(left))
            return missing if isinstance(op, ast.Is) else pc.invert(missing)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set):
                raise self.refusal("`in` needs a list, such as allele in ('a', 'b')")
            values = self.values(left)
            held = [self.equal(left, values, each) for each in right.elts]
            result = pc.if_else(pc.is_valid(values), False, None) if not held else held[0]
            for each in held[1:]:
                result = pc.or_kleene(result, each)
            return result if isinstance(op, ast.In) else pc.invert(result)
        first, second = self.values(left), self.values(right)
        self.refuse_mixed(left, first, right, second)
        return COMPARISONS[type(op)](first, second)

    def equal(self, left: ast.expr, values: pa.Array, right: ast.expr) -> pa.Array:
        other = self.values(right)
        self.refuse_mixed(left, values, right, other)
        return pc.equal(values, other)

    def values(self, node: ast.expr) -> pa.Array | pa.Scalar:
        """A side of a comparison: a column (N,), its lengths, or a constant."""
        match node:
            case ast.Name(id=name):
                return self.column(self.names.get(name, name))
            case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)], keywords=[]):
                return self.lengths(self.names.get(name, name))
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return pa.scalar(value, pa.large_string()) if isinstance(value, str) else pa.scalar(value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return pa.scalar(-value)
        raise self.refusal(f"{self.shown(node)} is neither a column, nor len(column), nor a number, nor text in quotes")

    def column(self, name: str) -> pa.Array:
        names = self.table.data.column_names
        if name not in names:
            hint = "; text needs quotes" if not nearest(name, names) else ""
            raise DataError(
                f"where = {self.text!r}: {self.table.source.name} has no column {name!r}{nearest(name, names)}{hint}; "
                f"columns: {', '.join(names[:30])}"
            )
        self.seen[name] = None
        return self.table.data[name].combine_chunks()

    def lengths(self, name: str) -> pa.Array:
        """Symbols of each value, int64 (N,); of canonical sequences where the column is a sequence."""
        column = self.column(name)
        if name in self.table.roles.sequences:
            column = self.table.sequences(name)
        elif not is_text(column.type):
            raise self.refusal(f"len({name}) needs a column of text, and it holds {column.type}")
        return pc.utf8_length(column)

    def refuse_mixed(
        self, left: ast.expr, first: pa.Array | pa.Scalar, right: ast.expr, second: pa.Array | pa.Scalar
    ) -> None:
        """DataError where text, numbers and truth values are compared with each other."""
        kinds = _kind(first.type), _kind(second.type)
        if kinds[0] == kinds[1] and kinds[0] != "other":
            return
        held = self.held()
        constant = next((each for each in (left, right) if isinstance(each, ast.Constant)), None)
        if constant is not None and set(kinds) == {"text", "number"}:
            is_word = isinstance(constant.value, str)
            held += f": {'leave out the quotes' if is_word else f'put {self.shown(constant)} in quotes'}"
        elif constant is not None and "truth" in kinds:
            held += ": compare with True or False"
        raise self.refusal(
            f"{self.shown(left)} is {_article(kinds[0])} and {self.shown(right)} is {_article(kinds[1])}; {held}"
        )

    def shown(self, node: ast.expr) -> str:
        text = ast.unparse(node)
        for placeholder, name in self.names.items():
            text = text.replace(placeholder, f"`{name}`")
        return text

    def _placeholder(self, found: re.Match[str]) -> str:
        if found[2] is None:
            return found[1]
        placeholder = f"_column_{len(self.names)}_"
        self.names[placeholder] = found[2]
        return placeholder


def _kind(kind: pa.DataType) -> str:
    if is_text(kind):
        return "text"
    if pa.types.is_boolean(kind):
        return "truth"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "other"


def _article(kind: str) -> str:
    return {"text": "text", "truth": "True or False", "number": "a number", "other": "no value to compare"}[kind]
