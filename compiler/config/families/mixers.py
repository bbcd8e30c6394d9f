"""Parts that read which layers mix tokens how: windows, chunks, norms and gates of attention, latents, indexers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.config.families.source import Part, Source, always
from compiler.errors import short

FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"

SHARED_INDEX = "shared_index"
"""Our word of a layer that attends to what an earlier one's indexer chose."""

WORDS = {
    **dict.fromkeys(
        ("attention", "full", "global", "global_attention", "indexed_attention", "f", "a", "hybrid_full"), FULL
    ),
    **dict.fromkeys(
        ("sliding", "local", "local_attention", "swa", "sliding_window", "hybrid_sliding", "window_attention"), SLIDING
    ),
    **dict.fromkeys(("linear", "mamba", "mamba2", "recurrent", "gated_deltanet", "kda", "lightning"), LINEAR),
}
"""What files call the words of `layer_types`."""

Rule = Callable[[int, int], bool]
"""Whether layer i of n attends to all tokens."""


def every(period: int, at: int = -1) -> Rule:
    return lambda i, _: i % period == at % period


def fourth_last(i: int, n: int) -> bool:
    """Every fourth layer, counted from the last one."""
    return (n - 1 - i) % 4 == 0


def words(source: Source, key: str, known: tuple[str, ...], *, each: bool = True) -> list[str] | None:
    """The file's list of words, one for each layer unless they are taken in turns, in ours; an unknown one is told."""
    found = source.each(key, str, source.layers()) if each else source.entries(key, str)
    if found is None:
        return None
    named = [WORDS.get(word, word) for word in found]
    for word in dict.fromkeys(said for said, name in zip(found, named, strict=True) if name not in known):
        source.note(
            f"has {short(word)} in {key}, which model_type {source.family} does not know",
            f"write one of {', '.join(known)}",
        )
    return named


def windowed(
    rule: Rule | None = None,
    *,
    pattern: str | None = None,
    size: str = "sliding_window",
    other: str = SLIDING,
    default: int = 0,
) -> Part:
    """A window on the layers that `layer_types` names, else on those that `rule` does not call full, or that are not every so many of
    the file's key `pattern`, else on all.
    """

    def part(source: Source) -> dict[str, Any]:
        window = source.positive(size)
        if window is None:
            return {}
        types = words(source, "layer_types", (FULL, SLIDING))
        if types is None and (found := _rule(source, rule, pattern, default)) is not None:
            count = source.layers()
            types = [FULL if found(i, count) else other for i in range(count)]
        return {"sliding_window": window, "layer_types": types}

    return part


def _rule(source: Source, rule: Rule | None, pattern: str | None, default: int) -> Rule | None:
    """A file's own period wins over the family's."""
    if pattern is None:
        return rule
    period = source.integer(pattern, default)
    return every(period) if period else (lambda _i, _n: True)


def typed(source: Source) -> dict[str, Any]:
    """Qwen: a sliding window where `use_sliding_window` says so, on the layers from `max_window_layers` on."""
    size = source.positive("sliding_window")
    if size is None or not source.flag("use_sliding_window", default=True):
        return {}
    types, first = words(source, "layer_types", (FULL, SLIDING)), source.integer("max_window_layers", 0)
    if types is None and first:
        types = kinds([i >= first for i in range(source.layers())])
    return {"sliding_window": size, "layer_types": types}


def early(source: Source) -> dict[str, Any]:
    """Qwen2-MoE: every other of the layers before `max_window_layers` (its configuration class)."""
    size = source.positive("sliding_window")
    if size is None or not source.flag("use_sliding_window", default=False):
        return {}
    types, last = words(source, "layer_types", (FULL, SLIDING)), source.integer("max_window_layers", 0)
    return {
        "sliding_window": size,
        "layer_types": types or kinds([i % 2 == 0 and i < last for i in range(source.layers())]),
    }


def chunked(source: Source) -> dict[str, Any]:
    """Llama 4 attends within chunks, which keep no more than a window of that size, except on layers without RoPE (every fourth)."""
    size = source.positive("attention_chunk_size")
    if size is None:
        return {}
    layers = source.layers()
    types = source.each("layer_types", str, layers)
    ropes = source.each("no_rope_layers", int, layers) or [(i + 1) % 4 for i in range(layers)]
    found = [kind == "chunked_attention" for kind in types] if types else [bool(rope) for rope in ropes]
    return {"sliding_window": size, "layer_types": kinds(found), "attention_chunk_size": size}


def kinds(sliding: list[bool]) -> list[str]:
    return [SLIDING if slides else FULL for slides in sliding]


head_norms = always(use_qk_norm=True)
token_norms = always(use_qk_norm=True, qk_norm_type="per_layer")


def normed(key: str, kind: str = "per_head") -> Part:
    """Norms of queries and keys where the file's key says so."""
    return lambda source: {"use_qk_norm": source.flag(key), "qk_norm_type": kind}


def block(word: str = FULL, **said: Any) -> Part:
    """Sizes of a block that the file does not write."""
    return lambda _: {"blocks": {word: said}}


def gated(key: str | None, how: str = "elements") -> Part:
    """A gate of the output, where the file's key says so."""

    def part(source: Source) -> dict[str, Any]:
        on = key is None or source.flag(key, default=True)
        return {"blocks": {FULL: {"gate": how if on else "none"}}}

    return part


def latent(source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {key: source.required(key) for key in ("kv_lora_rank", "qk_nope_head_dim")}
    rope = "qk_rope_head_dim"
    found[rope] = source.positive(rope) if source.find(rope) == 0 else source.required(rope)
    usual = source.required("hidden_size") // source.required("num_attention_heads")
    found["v_head_dim"] = source.size("v_head_dim") or usual
    return found | {"q_lora_rank": source.positive("q_lora_rank"), "head_dim": None}


def indexer(every_other: int = 1) -> Part:
    """An indexer, on every layer or where `indexer_types` says "full", else every so many: others take what the last one chose."""

    def part(source: Source) -> dict[str, Any]:
        types = own_indexers(source, every_other)
        found: dict[str, Any] = {key: source.size(key) for key in ("index_topk", "index_n_heads", "index_head_dim")}
        if all(types):
            return found
        words = [FULL if own else SHARED_INDEX for own in types]
        return {**found, "layer_types": words, "blocks": {SHARED_INDEX: {"kind": "latent", "own_index": False}}}

    return part


indexed = indexer()


def own_indexers(source: Source, every_other: int = 1) -> list[bool]:
    """Which layers have an indexer of their own."""
    count = source.layers()
    said = source.each("indexer_types", str, count)
    freq, offset = source.integer("index_topk_freq", every_other), source.integer("index_skip_topk_offset", 2)
    return [word == "full" for word in said or ()] or [max(i - offset + 1, 0) % max(1, freq) == 0 for i in range(count)]


def linear(
    kind: str, *, interval: str | None = None, default: int = 4, rule: Rule | None = None, key: str = "layer_types"
) -> Part:
    """Layers of that kind beside those with attention: by the file's list, else all but every so many (its key `interval`)."""

    def part(source: Source) -> dict[str, Any]:
        types, count = words(source, key, (FULL, LINEAR)), source.layers()
        if types is None:
            found = rule or every(max(1, source.integer(interval, default) if interval else default))
            types = [FULL if found(i, count) else LINEAR for i in range(count)]
        return {"layer_types": types, "blocks": {LINEAR: {"kind": kind}}}

    return part
