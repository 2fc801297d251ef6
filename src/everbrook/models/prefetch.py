"""Asking memory for what will be read a little later, so that many reads wait at the same time."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_build: Any = cgutils


def _prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Begin to fetch the line of memory that holds `array[index]`; for one dimension, and only inside kernels.

    It changes nothing and cannot fail: an index outside of the array is as good as no call.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, args[0])
        place = _build.get_item_pointer(context, builder, signature.args[0], made, [args[1]])
        address, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
        fetch = _build.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(fetch, [builder.bitcast(place, address), number(0), number(3), number(1)])  # read, keep, data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


prefetch: Any = intrinsic(_prefetch)
