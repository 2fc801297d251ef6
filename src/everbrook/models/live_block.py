"""Sixteen coded rows against four states, or fewer: the innermost step of a scan, in the compiler's own terms. And the
same for what a network does to sixteen places of a history.

The compiler does not find out by itself that of rows that lie side by side, pair of numbers by pair, the products of
two pairs can be added by one instruction. Here it is told so in LLVM's vectors, which every processor has in some form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import cgutils, errors, types
from numba.extending import intrinsic

ROWS = 16  # rows of a block
_LANES = 8  # numbers of 32 bits that are held together
_I8, _I16, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_FUSED = ("contract",)  # a product and a sum may be rounded once


def _vector(kind: ir.Type, count: int) -> ir.VectorType:
    return ir.VectorType(kind, count)


def _picked(builder: Any, vector: Any, lanes: list[int]) -> Any:
    nothing = ir.Constant(vector.type, ir.Undefined)
    return builder.shuffle_vector(vector, nothing, ir.Constant(_vector(_I32, len(lanes)), lanes))


def _everywhere(builder: Any, number: Any, count: int = _LANES) -> Any:
    nothing = ir.Constant(_vector(number.type, count), ir.Undefined)
    return _picked(builder, builder.insert_element(nothing, number, ir.Constant(_I32, 0)), [0] * count)


def _pair_products(builder: Any, one: Any, other: Any) -> Any:
    """(8,) sums of the products of two pairs, of (16,) numbers of 16 bits each."""
    wide = _vector(_I32, 2 * _LANES)
    products = builder.mul(builder.sext(one, wide), builder.sext(other, wide))
    first, second = ([2 * lane + at for lane in range(_LANES)] for at in (0, 1))
    return builder.add(_picked(builder, products, first), _picked(builder, products, second))


def _variable(builder: Any, value: Any) -> Any:
    return cgutils.alloca_once_value(builder, value)  # type: ignore[no-untyped-call]


def _greater(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", one, other), one, other)


def _greatest(builder: Any, vector: Any) -> Any:
    """The greatest of (8,) numbers."""
    for apart in (4, 2, 1):
        vector = _greater(builder, vector, _picked(builder, vector, [(k + apart) % _LANES for k in range(_LANES)]))
    return builder.extract_element(vector, ir.Constant(_I32, 0))


class _Array:
    """An array of the caller's, by the address of its numbers and the length of its rows."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        made = context.make_array(kind)(context, builder, value)
        self._builder, self.data = builder, made.data
        self.shape = [builder.extract_value(made.shape, d) for d in range(kind.ndim)]

    def at(self, row: Any, place: Any) -> Any:
        """The address of a number of a row."""
        return self._builder.gep(self.data, [self._builder.add(self._builder.mul(row, self.shape[-1]), place)])

    def load(self, row: Any, place: Any, kind: Any) -> Any:
        """Numbers from there on; they may lie anywhere."""
        return self._builder.load(self._builder.bitcast(self.at(row, place), kind.as_pointer()), align=1)

    def store(self, row: Any, place: Any, value: Any) -> None:
        """Write them."""
        self._builder.store(value, self._builder.bitcast(self.at(row, place), value.type.as_pointer()), align=1)


def _number(value: int) -> Any:
    return ir.Constant(_I64, value)


def _sums(builder: Any, codes: _Array, block: Any, states: Sequence[Callable[[Any], Any]]) -> list[list[Any]]:
    """For each state two times (8,) products of rows: those of the block's first half and of the second.

    Args:
        builder: of instructions.
        codes: of all blocks.
        block: which.
        states: each gives a pair of a state by its place.
    """
    pairs = codes.shape[1]  # of numbers that a row has
    begin = builder.gep(codes.data, [builder.mul(block, builder.mul(pairs, _number(2 * ROWS)))])
    nothing = ir.Constant(_vector(_I32, _LANES), None)
    sums = [[_variable(builder, nothing) for _ in range(2)] for _ in states]
    half = _vector(_I8, 2 * _LANES)
    with cgutils.for_range(builder, pairs) as loop:
        rows = []
        for side in range(2):
            place = builder.add(builder.mul(loop.index, _number(2 * ROWS)), _number(side * 2 * _LANES))
            found = builder.load(builder.bitcast(builder.gep(begin, [place]), half.as_pointer()), align=1)
            rows.append(builder.sext(found, _vector(_I16, 2 * _LANES)))
        for state, of_state in zip(states, sums, strict=True):
            pair = builder.bitcast(_everywhere(builder, state(loop.index)), _vector(_I16, 2 * _LANES))
            for side in range(2):
                more = _pair_products(builder, rows[side], pair)
                builder.store(builder.add(builder.load(of_state[side]), more), of_state[side])
    return [[builder.load(side) for side in of_state] for of_state in sums]


def _held(count: int) -> Any:
    """An intrinsic that holds `count` states against a block of rows."""

    @intrinsic
    def held(
        typingctx: Any, coded: Any, block: Any, asked: Any, first: Any, log_prior: Any, prior_block: Any, scratch: Any
    ) -> Any:
        """See `live_scan.scan`; of `asked` the states from `first` on, `log_prior` from its `prior_block` on."""
        if any(array.layout != "C" for array in (*coded.types, *asked.types, log_prior, *scratch.types)):
            raise errors.TypingError("Rows are held against states in arrays without gaps alone.")
        at = types.int64
        signature = types.void(coded, at, asked, at, log_prior, at, scratch)

        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def arrays(place: int) -> list[_Array]:
                kinds = signature.args[place].types
                return [
                    _Array(context, builder, kind, builder.extract_value(args[place], k))
                    for k, kind in enumerate(kinds)
                ]

            (codes, scales, slack), (levels, sizes), outs = arrays(0), arrays(2), arrays(6)
            prior = _Array(context, builder, signature.args[4], args[4])
            rows = [builder.add(args[3], _number(q)) for q in range(count)]

            def pair(row: Any, of_pair: Any) -> Any:
                return levels.load(row, builder.mul(of_pair, _number(2)), _I32)

            sums = _sums(builder, codes, args[1], [partial(pair, row) for row in rows])
            of_rows = [
                [
                    array.load(_number(0), builder.add(builder.mul(where, _number(ROWS)), _number(side * _LANES)),
                               _vector(_F32, _LANES))
                    for side in range(2)
                ]
                for array, where in ((scales, args[1]), (slack, args[1]), (prior, args[5]))
            ]  # fmt: skip
            for row, of_state in zip(rows, sums, strict=True):
                _finish(builder, row, args[1], of_state, sizes, of_rows, (outs[0], outs[1]))
            return context.get_dummy_value()

        return signature, lower

    return held


def _finish(
    builder: Any, row: Any, block: Any, sums: list[Any], sizes: _Array, of_rows: list[list[Any]],
    outs: tuple[_Array, _Array],
) -> None:  # fmt: skip
    """From products to scores, and what the greatest of the block cannot exceed."""
    step, norm = (_everywhere(builder, sizes.load(row, _number(at), _F32)) for at in (0, 1))
    ends = []
    for side, (scale, slack, prior) in enumerate(zip(*of_rows, strict=True)):
        product = builder.sitofp(sums[side], _vector(_F32, _LANES))
        score = builder.fadd(builder.fmul(product, builder.fmul(scale, step), flags=_FUSED), prior, flags=_FUSED)
        outs[0].store(row, builder.add(builder.mul(block, _number(ROWS)), _number(side * _LANES)), score)
        ends.append(builder.fadd(score, builder.fmul(slack, norm), flags=_FUSED))
    outs[1].store(row, block, _greatest(builder, _greater(builder, *ends)))


def _multiplied(count: int) -> Any:
    """An intrinsic that multiplies `count` rows of a matrix by sixteen columns."""

    @intrinsic
    def multiplied(typingctx: Any, matrix: Any, first: Any, columns: Any, bias: Any, out: Any) -> Any:
        """Rows from `first` on of (O, D) `matrix` times (D, 16) `columns`, plus (O,) `bias`, become rows of `out`."""
        if any(array.layout != "C" for array in (matrix, columns, bias, out)):
            raise errors.TypingError("Only arrays without gaps are multiplied.")
        signature = types.void(matrix, types.int64, columns, bias, out)

        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            given = {
                place: _Array(context, builder, signature.args[place], args[place]) for place in (0, 2, 3, 4)
            }  # fmt: skip
            half = _vector(_F32, _LANES)
            rows = [builder.add(args[1], _number(o)) for o in range(count)]
            begin = [_everywhere(builder, given[3].load(_number(0), row, _F32)) for row in rows]
            sums = [[_variable(builder, number) for _ in range(2)] for number in begin]
            with cgutils.for_range(builder, given[2].shape[0]) as loop:
                held = [given[2].load(loop.index, _number(side * _LANES), half) for side in range(2)]
                for row, of_row in zip(rows, sums, strict=True):
                    number = _everywhere(builder, given[0].load(row, loop.index, _F32))
                    for side in range(2):
                        more = builder.fmul(number, held[side], flags=_FUSED)
                        builder.store(builder.fadd(more, builder.load(of_row[side]), flags=_FUSED), of_row[side])
            for row, of_row in zip(rows, sums, strict=True):
                for side in range(2):
                    given[4].store(row, _number(side * _LANES), builder.load(of_row[side]))
            return context.get_dummy_value()

        return signature, lower

    return multiplied


@intrinsic
def _reaching(typingctx: Any, scores: Any, slack: Any, block: Any, norm: Any, floor: Any) -> Any:
    """Which rows of a block have scores that, with their slack times `norm`, reach a floor: a bit each.

    Args:
        typingctx: the compiler's.
        scores: (M,) float32 of whole blocks.
        slack: (M,) float32
        block: an int64.
        norm: a float32.
        floor: a float32.
    """
    if scores.layout != "C" or slack.layout != "C":
        raise errors.TypingError("Scores and slack must be arrays without gaps.")
    signature = types.int64(scores, slack, types.int64, types.float32, types.float32)

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        given = [_Array(context, builder, signature.args[place], args[place]) for place in (0, 1)]
        wide, begin = _vector(_F32, ROWS), builder.mul(args[2], _number(ROWS))
        score, band = (array.load(_number(0), begin, wide) for array in given)
        norms, floors = (_everywhere(builder, number, ROWS) for number in args[3:])
        end = builder.fadd(score, builder.fmul(band, norms, flags=_FUSED), flags=_FUSED)
        return builder.zext(builder.bitcast(builder.fcmp_ordered(">=", end, floors), _I16), _I64)

    return signature, lower


@intrinsic
def _lowest_bit(typingctx: Any, bits: Any) -> Any:
    """The place of the lowest bit of an int64 that is not 0."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), lower


hold_four, hold_two, hold_one = _held(4), _held(2), _held(1)
multiply_four, multiply_one = _multiplied(4), _multiplied(1)
reaching: Any = _reaching  # the checker of types takes the compiler's context for an argument
lowest_bit: Any = _lowest_bit
