"""Writing numbers into a column of what families say: all at once where the column lies in one piece, as in lists."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, errors
from numba.extending import intrinsic

from everbrook.types import F32

_tools: Any = cgutils


@intrinsic
def _copy(typingctx: Any, line: Any, mass: Any, start: Any, column: Any) -> Any:
    """Copy (n,) numbers into a column of (S, K) `mass`, from row `start` on; it must lie in one piece there."""
    if line.layout != "C" or line.dtype != mass.dtype:
        raise errors.TypingError("What is copied must be an array without gaps of the same numbers.")

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        given, out = (context.make_array(signature.args[at])(context, builder, args[at]) for at in (0, 1))
        (count,), strides = _tools.unpack_tuple(builder, given.shape, 1), _tools.unpack_tuple(builder, out.strides, 2)
        place = builder.add(builder.mul(args[2], strides[0]), builder.mul(args[3], strides[1]))
        begin = builder.gep(builder.bitcast(out.data, ir.IntType(8).as_pointer()), [place])
        _tools.raw_memcpy(builder, builder.bitcast(begin, given.data.type), given.data, count, given.itemsize)
        return context.get_dummy_value()

    return types.void(line, mass, types.intp, types.intp), lower


_copied: Any = _copy  # the checker of types takes the compiler's context for an argument


@njit(cache=True)
def write(line: F32, mass: F32, start: int, column: int) -> None:
    """Write (n,) numbers into a column of (S, K) `mass`, into the rows from `start` on."""
    if mass.strides[0] == mass.itemsize:
        _copied(line, mass, start, column)
    else:
        for m in range(len(line)):
            mass[start + m, column] = line[m]
