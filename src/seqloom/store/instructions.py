"""Three instructions that numba has no words for, as functions that compiled loops call: a fetch ahead of need, and words of 8
bytes at any place.

They are written in the terms of LLVM, by which numba works; the names of their arguments are for those who read.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
# ruff: noqa: ARG001

from __future__ import annotations

import numba
from llvmlite import ir
from numba.extending import intrinsic


@intrinsic
def ask_for(_, array, index):
    """Have the processor fetch the line that holds `array[index]`; harmless for any index."""

    def code(context, builder, signature, arguments):
        byte, number = ir.PointerType(ir.IntType(8)), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        pointer = _pointer(context, builder, signature, arguments, 8)
        builder.call(prefetch, [pointer, number(0), number(3), number(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return numba.void(array, numba.intp), code


@intrinsic
def word_at(_, array, index):
    """The 8 bytes of a uint8 array from `index` on, as one number."""

    def code(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, signature, arguments, 64), align=1)

    return numba.uint64(array, numba.intp), code


@intrinsic
def put_word(_, array, index, word):
    """Write the 8 bytes of a uint8 array from `index` on."""

    def code(context, builder, signature, arguments):
        builder.store(arguments[2], _pointer(context, builder, signature, arguments, 64), align=1)
        return context.get_dummy_value()

    return numba.void(array, numba.intp, numba.uint64), code


def _pointer(context, builder, signature, arguments, bits):
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.PointerType(ir.IntType(bits)))
