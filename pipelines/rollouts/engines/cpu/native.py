"""The small operations of sampling on a CPU in float32: norms, rotation, attention over the caches, gates,
the draw.

As tensor operations they take two thirds of a small model's step: each starts up, reads and writes again what
the last one wrote, and the products of two or four queries with one row's keys are too thin for a matrix
library. Here they are compiled by numba, hold their sums in vector registers, and run without the
interpreter's lock; the large products stay with torch.

One file, because numba compiles again only what stands in a changed file, not what that calls elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16  # floats of a vector; where registers are shorter LLVM takes several
ZERO, ONE = np.float32(0), np.float32(1)
LOG2_E = np.float32(1.4426950408889634)
# the first has so few bits that n times it is exact
LN_2, LN_2_REST = np.float32(0.693359375), np.float32(-2.12194440e-4)
# No licence to reorder or to contract: what is compiled now and what comes from numba's cache are inlined
# differently, and must give the same bits. Sums are written with vectors instead. NaN and infinity keep their
# meaning: a policy that has become NaN must show it.
COMPILED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
try:
    njit(**COMPILED)(lambda: None)
except RuntimeError:  # no folder that the cache could be written to: compiled anew in every process
    COMPILED["cache"] = False


# Vectors. numba's own loops over short rows are not made into vector code: it cannot know that two arrays do
# not overlap.

_VECTOR = ir.VectorType(ir.FloatType(), LANES)


class _Lanes(types.Type):
    """LANES floats in a register."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes{LANES}")


_LANES = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """array (flat, contiguous), from `index` on -> LANES of it. Nothing checks its end."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *arguments), align=4)

    return _LANES(array, types.int64), make


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """LANES of `array` from `index` on become `value`."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _address(context, builder, signature.args[0], *arguments[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, _LANES), make


@intrinsic
def broadcast(typing: Any, value: Any) -> Any:
    """`value` in every lane."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        empty, index = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
        first = builder.insert_element(empty, arguments[0], ir.Constant(index, 0))
        return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(index, LANES), [0] * LANES))

    return _LANES(types.float32), make


@intrinsic
def multiply_add(typing: Any, left: Any, right: Any, to: Any) -> Any:
    """left * right + to, lane by lane."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), arguments
        )

    return _LANES(_LANES, _LANES, _LANES), make


@intrinsic
def lane_sum(typing: Any, value: Any) -> Any:
    """Returns the sum of all lanes, by repeated halving."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, index = arguments[0], ir.IntType(32)
        for step in (8, 4, 2, 1):
            order = ir.Constant(ir.VectorType(index, LANES), [(lane + step) % LANES for lane in range(LANES)])
            total = builder.fadd(
                total, builder.shuffle_vector(total, ir.Constant(_VECTOR, ir.Undefined), order)
            )
        return builder.extract_element(total, ir.Constant(index, 0))

    return types.float32(_LANES), make


# Kernels, on numpy's views of the tensors.


@njit(**COMPILED)
def dot(left: Any, right: Any, at: int, count: int) -> Any:
    """Returns the inner product of two flat arrays, `count` numbers from `at` on."""
    sums, vectorised = broadcast(ZERO), count - count % LANES
    for i in range(at, at + vectorised, LANES):
        sums = multiply_add(load(left, i), load(right, i), sums)
    total = lane_sum(sums)
    for i in range(at + vectorised, at + count):
        total += left[i] * right[i]
    return total


@njit(**COMPILED)
def exponentials(values: Any, powers: Any, count: int) -> None:
    """values (count,) at most 88, and `powers` (count,) int32 to work in -> values become their exponentials,
    0 below -87.7.

    2^n e^y with |y| <= ln(2) / 2 and a Taylor series of degree 7, whose error is below float32's last bit.
    """
    scales = powers.view(np.float32)
    for i in range(count):
        x = np.float32(-88) if values[i] < np.float32(-88) else values[i]
        exponent = np.floor(x * LOG2_E + np.float32(0.5))
        # 2^n by its bits; 2^-127 comes out as 0
        powers[i] = (np.int32(exponent) + np.int32(127)) << np.int32(23)
        y = x - exponent * LN_2 - exponent * LN_2_REST
        series = np.float32(1 / 5040)
        series = series * y + np.float32(1 / 720)
        series = series * y + np.float32(1 / 120)
        series = series * y + np.float32(1 / 24)
        series = series * y + np.float32(1 / 6)
        series = series * y + np.float32(1 / 2)
        series = series * y + ONE
        values[i] = series * y + ONE
    for i in range(count):
        values[i] *= scales[i]


@njit(**COMPILED)
def rms_norm(hidden: Any, normed: Any, epsilon: float) -> None:
    """hidden (N, H) over its root mean square -> normed (N, H)."""
    rows, size = hidden.shape
    flat = hidden.reshape(-1)
    for row in range(rows):
        scale = ONE / np.sqrt(dot(flat, flat, row * size, size) / np.float32(size) + np.float32(epsilon))
        for i in range(size):
            normed[row, i] = hidden[row, i] * scale


@njit(**COMPILED)
def silu_product(joint: Any, inner: Any) -> None:
    """joint (N, 2 I), gates and what they let through -> inner (N, I), SiLU of one times the other."""
    rows, size = inner.shape
    powers, growth = np.empty(size, np.int32), np.empty(size, np.float32)
    for row in range(rows):
        for i in range(size):
            x = -joint[row, i]
            growth[i] = np.float32(88) if x > np.float32(88) else x
        exponentials(growth, powers, size)
        for i in range(size):
            inner[row, i] = joint[row, i] * joint[row, size + i] / (ONE + growth[i])


@njit(**COMPILED)
def rotate(row: Any, heads: int, width: int, gains: Any, epsilon: float, angles: Any) -> None:
    """The first `heads` of row (all heads x width): normed where gains (heads, width) are given, rotated by
    angles (width / 2, 2).
    """
    for head in range(heads):
        at = head * width
        if len(gains):
            scale = ONE / np.sqrt(dot(row, row, at, width) / np.float32(width) + np.float32(epsilon))
            for i in range(width):
                row[at + i] *= scale * gains[head, i]
        for i in range(width // 2):
            x, y = row[at + 2 * i], row[at + 2 * i + 1]
            cosine, sine = angles[i, 0], angles[i, 1]
            row[at + 2 * i] = x * cosine - y * sine
            row[at + 2 * i + 1] = x * sine + y * cosine


@njit(**COMPILED)
def query_key_products(
    queries: Any,
    query: int,
    group: int,
    width: int,
    keys: Any,
    key: int,
    stride: int,
    count: int,
    scores: Any,
    to: int,
) -> None:
    """Products of `group` queries, flat from `query` on, with `count` keys, whose component w lies in a row
    from `key` + w * stride on -> scores (group, room) from column `to` on, in whole vectors: up to LANES - 1
    more columns hold anything afterwards.
    """
    flat, room = scores.reshape(-1), scores.shape[1]
    blocks = (count + LANES - 1) // LANES
    # two blocks and two queries at once: more sums at work, and more of a row read at a time
    for two in range(blocks // 2):
        block = two * 2 * LANES
        for pair in range(0, group - 1, 2):
            even, odd = query + pair * width, query + (pair + 1) * width
            a, b, c, d = broadcast(ZERO), broadcast(ZERO), broadcast(ZERO), broadcast(ZERO)
            for w in range(width):
                at = key + w * stride + block
                near, far = load(keys, at), load(keys, at + LANES)
                first, second = broadcast(queries[even + w]), broadcast(queries[odd + w])
                a, b = multiply_add(first, near, a), multiply_add(second, near, b)
                c, d = multiply_add(first, far, c), multiply_add(second, far, d)
            to_one = pair * room + to + block
            store(flat, to_one, a)
            store(flat, to_one + LANES, c)
            store(flat, to_one + room, b)
            store(flat, to_one + room + LANES, d)
    for block in range(blocks // 2 * 2 * LANES, count, LANES):
        for pair in range(0, group - 1, 2):
            even, odd = query + pair * width, query + (pair + 1) * width
            a, b = broadcast(ZERO), broadcast(ZERO)
            for w in range(width):
                part = load(keys, key + w * stride + block)
                a, b = (
                    multiply_add(broadcast(queries[even + w]), part, a),
                    multiply_add(broadcast(queries[odd + w]), part, b),
                )
            store(flat, pair * room + to + block, a)
            store(flat, (pair + 1) * room + to + block, b)
    if group % 2:
        for block in range(0, count, LANES):
            last, sums = query + (group - 1) * width, broadcast(ZERO)
            for w in range(width):
                sums = multiply_add(broadcast(queries[last + w]), load(keys, key + w * stride + block), sums)
            store(flat, (group - 1) * room + to + block, sums)


@njit(**COMPILED)
def add_weighted_values(
    weights: Any, of: int, group: int, values: Any, value: int, width: int, count: int, mixed: Any, to: int
) -> None:
    """Adds to mixed, flat from `to` on, (group, width): weights (group, room) from column `of` on times
    `count` values from `value` on.
    """
    for w in range(0, width, LANES):
        for pair in range(0, group - 1, 2):
            even, odd = to + pair * width + w, to + (pair + 1) * width + w
            first, second = load(mixed, even), load(mixed, odd)
            for t in range(count):
                part = load(values, value + t * width + w)
                first = multiply_add(broadcast(weights[pair, of + t]), part, first)
                second = multiply_add(broadcast(weights[pair + 1, of + t]), part, second)
            store(mixed, even, first)
            store(mixed, odd, second)
        if group % 2:
            last = to + (group - 1) * width + w
            sums = load(mixed, last)
            for t in range(count):
                sums = multiply_add(
                    broadcast(weights[group - 1, of + t]), load(values, value + t * width + w), sums
                )
            store(mixed, last, sums)


@njit(**COMPILED)
def softmax(scores: Any, count: int, powers: Any, ones: Any) -> None:
    """scores (count,) -> their softmax. `ones` (count,) are 1."""
    largest = scores[0]
    for i in range(count):
        largest = scores[i] if scores[i] > largest else largest
    for i in range(count):
        scores[i] -= largest
    exponentials(scores, powers, count)
    share = ONE / dot(scores, ones, 0, count)
    for i in range(count):
        scores[i] *= share


@njit(**COMPILED)
def attend(
    joint: Any,
    gains: Any,
    epsilon: float,
    angles: Any,
    keys: Any,
    values: Any,
    column: int,
    starts: Any,
    prefix_keys: Any,
    prefix_values: Any,
    lengths: Any,
    of: Any,
    mixed: Any,
) -> None:
    """One new token per row: turned, written to the caches, and what its queries find there.

    joint (B, all heads x width): queries, keys, values; gains as in `rotate`; angles (positions, width / 2,
    2). Row b's own keys (kv heads, B, width, C) and values (kv heads, B, C, width) begin at column starts[b];
    before them it sees the last lengths[f] columns of the prefix f = of[b], keys (kv heads, F, width, P) and
    values (kv heads, F, P, width). -> mixed (B, heads x width). Behind the keys' last number LANES - 1 more
    must be readable.
    """
    rows, all_heads = joint.shape
    kv_heads, _, columns, width = values.shape
    prefixes, prefix_columns = prefix_values.shape[1:3]
    heads = mixed.shape[1] // width
    group = heads // kv_heads
    scores = np.empty((group, prefix_columns + columns + LANES), np.float32)
    powers, ones = np.empty(scores.shape[1], np.int32), np.ones(scores.shape[1], np.float32)
    flat_joint, flat_mixed = joint.reshape(-1), mixed.reshape(-1)
    flat_keys, flat_values = keys.reshape(-1), values.reshape(-1)
    flat_prefix_keys, flat_prefix_values = prefix_keys.reshape(-1), prefix_values.reshape(-1)
    for row in range(rows):
        start, family = starts[row], of[row]
        before, own = lengths[family], column + 1 - start
        first = prefix_columns - before
        rotate(joint[row], heads + kv_heads, width, gains, epsilon, angles[before + own - 1])
        mixed[row] = ZERO
        for head in range(kv_heads):
            key, value = (heads + head) * width, (heads + kv_heads + head) * width
            for w in range(width):
                keys[head, row, w, column] = joint[row, key + w]
                values[head, row, column, w] = joint[row, value + w]
            query, place = row * all_heads + head * group * width, head * rows + row
            shared = head * prefixes + family
            query_key_products(
                flat_joint,
                query,
                group,
                width,
                flat_prefix_keys,
                shared * width * prefix_columns + first,
                prefix_columns,
                before,
                scores,
                0,
            )
            query_key_products(
                flat_joint,
                query,
                group,
                width,
                flat_keys,
                place * width * columns + start,
                columns,
                own,
                scores,
                before,
            )
            for query_head in range(group):
                softmax(scores[query_head], before + own, powers, ones)
            to = row * heads * width + head * group * width
            add_weighted_values(
                scores,
                0,
                group,
                flat_prefix_values,
                (shared * prefix_columns + first) * width,
                width,
                before,
                flat_mixed,
                to,
            )
            add_weighted_values(
                scores,
                before,
                group,
                flat_values,
                (place * columns + start) * width,
                width,
                own,
                flat_mixed,
                to,
            )


@njit(**COMPILED)
def attend_columns(
    joint: Any, gains: Any, epsilon: float, angles: Any, keys: Any, values: Any, mixed: Any
) -> None:
    """`attend` for all tokens of F sequences that begin here, column by column.

    joint (W, F, all heads x width), keys (kv heads, F, width, W), values (kv heads, F, W, width) -> mixed (W,
    F, heads x width).
    """
    kv_heads, rows, _, width = values.shape
    starts, lengths, of = np.zeros(rows, np.int64), np.zeros(1, np.int64), np.zeros(rows, np.int64)
    none_keys, none_values = (
        np.empty((kv_heads, 1, width, 0), np.float32),
        np.empty((kv_heads, 1, 0, width), np.float32),
    )
    for column in range(len(joint)):
        attend(
            joint[column],
            gains,
            epsilon,
            angles,
            keys,
            values,
            column,
            starts,
            none_keys,
            none_values,
            lengths,
            of,
            mixed[column],
        )


@njit(**COMPILED)
def draw_rows(logits: Any, uniform: Any, ids: Any, logprobs: Any, entropy: Any) -> None:
    """`kernels.sample_tokens`: logits (N, V), uniform (N,), empty for the most likely -> ids, log-probs,
    entropies (N,).
    """
    rows, vocabulary = logits.shape
    work, powers = np.empty(vocabulary, np.float32), np.empty(vocabulary, np.int32)
    gaps, ones = np.empty(vocabulary, np.float32), np.ones(vocabulary, np.float32)
    for row in range(rows):
        largest = logits[row, 0]
        for i in range(vocabulary):
            largest = logits[row, i] if logits[row, i] > largest else largest
        for i in range(vocabulary):
            work[i] = logits[row, i] - largest
            # 0 log 0 is 0, also where the logit is -inf
            gaps[i] = np.float32(-1e30) if work[i] < np.float32(-1e30) else work[i]
        exponentials(work, powers, vocabulary)
        total, weighted = dot(work, ones, 0, vocabulary), dot(work, gaps, 0, vocabulary)
        chosen = 0
        if len(uniform):
            target = np.float64(uniform[row]) * total
            reached = np.float64(work[0])
            while chosen < vocabulary - 1 and not reached > target:
                chosen += 1
                reached += work[chosen]
            # rounding put the target at or beyond the end: the last that has a probability
            while chosen > 0 and work[chosen] == 0:
                chosen -= 1
        else:
            while chosen < vocabulary - 1 and logits[row, chosen] != largest:
                chosen += 1
        size = np.log(total)
        ids[row], logprobs[row], entropy[row] = (
            chosen,
            logits[row, chosen] - largest - size,
            size - weighted / total,
        )
