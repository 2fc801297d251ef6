"""What one follower is given at four half-lives at once: the innermost step of `transitions_asking`, in LLVM's vectors.

The compiler does not find out by itself that four half-lives are four times the same. Every processor has such vectors
in some form. For other numbers of half-lives `transitions_asking` has a plain loop.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import errors, types
from numba.extending import intrinsic

from everbrook.models.decay import GONE, POWER, ROUND

LANES = 4
_F32, _F64, _I64, _I32 = ir.FloatType(), ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_SINGLES, _DOUBLES, _WORDS = (ir.VectorType(kind, LANES) for kind in (_F32, _F64, _I64))
_FUSED = ("contract",)  # a product and a sum may be rounded once


def _number(value: int) -> Any:
    return ir.Constant(_I64, value)


def _constant(value: float) -> Any:
    return ir.Constant(_DOUBLES, [value] * LANES)


def _everywhere(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(_DOUBLES, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


def _lanes(builder: Any, data: Any, place: Any, kind: Any) -> Any:
    """Where four numbers begin that may lie anywhere."""
    return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())


def _faded(builder: Any, steps: Any) -> Any:
    """2^-x as `decay.fade_all` gives it."""
    x = builder.select(builder.fcmp_ordered(">", steps, _constant(0.0)), steps, _constant(0.0))
    x = builder.select(builder.fcmp_ordered("<", x, _constant(GONE)), x, _constant(GONE))
    shifted = builder.fadd(x, _constant(ROUND))
    rest = builder.fsub(x, builder.fsub(shifted, _constant(ROUND)))
    terms, by = [_constant(factor) for factor in POWER], rest
    while len(terms) > 1:  # two by two, so that few wait for each other
        terms = [
            builder.fadd(one, builder.fmul(by, two, flags=_FUSED), flags=_FUSED)
            for one, two in zip(terms[::2], terms[1::2], strict=True)
        ]
        by = builder.fmul(by, by)
    near = terms[0]
    whole = builder.sub(ir.Constant(_WORDS, [1023] * LANES), builder.bitcast(shifted, _WORDS))
    power = builder.bitcast(builder.shl(whole, ir.Constant(_WORDS, [52] * LANES)), _DOUBLES)
    gone = builder.fcmp_ordered(">=", x, _constant(GONE))
    return builder.select(gone, ir.Constant(_DOUBLES, None), builder.fmul(near, power))


@intrinsic
def _add_four(typingctx: Any, counts: Any, rates: Any, share: Any, got: Any, where: Any, by: Any) -> Any:
    """Add what an entry of a row gives its item to what that item is given so far; and the sum of it.

    Args:
        typingctx: the compiler's.
        counts: (P, 12) float32, see `pairs.Store`.
        rates: (4,) float64, half-lives a second.
        share: (asked, 12) float64, what a count weighs.
        got: (T, 12) float32, in and out.
        where: which entry, in which of the asked rows it stands, and the place of its item in `got`; int64.
        by: seconds since the entry was touched, and what a count of what came before weighs; float64.
    """
    if any(array.layout != "C" for array in (counts, rates, share, got)):
        raise errors.TypingError("Followers are added up in arrays without gaps alone.")
    tuple_of: Any = types.UniTuple
    signature = types.float64(counts, rates, share, got, tuple_of(types.int64, 3), tuple_of(types.float64, 2))

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = zip(signature.args[:4], args[:4], strict=True)
        counts, rates, share, got = (context.make_array(kind)(context, builder, one).data for kind, one in arrays)
        entry, of_row, place = (builder.extract_value(args[4], at) for at in range(3))
        age_s, back = (builder.extract_value(args[5], at) for at in range(2))

        def counted(kind: int) -> Any:
            begin = builder.add(builder.mul(entry, _number(3 * LANES)), _number(kind * LANES))
            return builder.fpext(builder.load(_lanes(builder, counts, begin, _SINGLES), align=1), _DOUBLES)

        def weighed(reading: int) -> Any:
            begin = builder.add(builder.mul(of_row, _number(3 * LANES)), _number(reading * LANES))
            return builder.load(_lanes(builder, share, begin, _DOUBLES), align=1)

        rate = builder.load(_lanes(builder, rates, _number(0), _DOUBLES), align=1)
        faded = _faded(builder, builder.fmul(_everywhere(builder, age_s), rate))
        after = builder.fmul(counted(1), faded)
        before = builder.fmul(builder.fmul(counted(2), faded), _everywhere(builder, back))
        parts = (
            builder.fmul(weighed(0), builder.fmul(counted(0), faded)),
            builder.fmul(weighed(1), after),
            builder.fmul(weighed(2), builder.fadd(after, before, flags=_FUSED)),
        )
        for reading, part in enumerate(parts):
            begin = builder.add(builder.mul(place, _number(3 * LANES)), _number(reading * LANES))
            at = _lanes(builder, got, begin, _SINGLES)
            had = builder.fpext(builder.load(at, align=1), _DOUBLES)
            builder.store(builder.fptrunc(builder.fadd(had, part), _SINGLES), at, align=1)
        whole = builder.fadd(builder.fadd(parts[0], parts[1]), parts[2])
        one, two, three, four = (builder.extract_element(whole, ir.Constant(_I32, lane)) for lane in range(LANES))
        return builder.fadd(builder.fadd(one, two), builder.fadd(three, four))

    return signature, lower


add_four: Any = _add_four  # the checker of types takes the compiler's context for an argument
