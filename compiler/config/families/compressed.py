"""DeepSeek-V4: attention to compressed keys, and hidden states of several streams (hyper-connections)."""

from __future__ import annotations

from typing import Any

from compiler.config.families.source import Source

RATIOS = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
"""Words of transformers 5.24 -> tokens of an entry; a file may say other numbers in `compress_rates`."""


def layers(source: Source) -> dict[str, Any]:
    """Which layers compress how much: by `layer_types`, else by the numbers of `compress_ratios`."""
    count, said = source.layers(), source.each("layer_types", str, source.layers())
    rates = {
        **RATIOS,
        **{word: rate for word, rate in source.mapping("compress_rates").items() if isinstance(rate, int)},
    }
    names = {ratio: word for word, ratio in RATIOS.items()}
    listed = source.each("compress_ratios", int, count)
    types = said or (listed and [names.get(ratio, str(ratio)) for ratio in listed])
    heavy, sparse = names[128], names[4]
    types = types or [heavy if i < 2 or i % 2 == 0 else sparse for i in range(count)]
    for word in dict.fromkeys(word for word in types if word not in RATIOS):
        source.note(f"has {word} in compress_ratios or layer_types", f"write one of {', '.join(RATIOS)}")
    blocks = {word: _block(source, word, rates[word]) for word in dict.fromkeys(types) if word in RATIOS}
    return {"layer_types": types, "sliding_window": source.required("sliding_window"), "blocks": blocks}


def _block(source: Source, word: str, ratio: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": "compressed",
        "o_lora_rank": source.size("o_lora_rank"),
        "o_groups": source.size("o_groups") or 1,
        "ratio": ratio,
        "extra": streams(source),
    }
    return {**found, **({"index_topk": source.positive("index_topk")} if word == "compressed_sparse_attention" else {})}


def streams(source: Source) -> int:
    """Weights of a block that mix `hc_mult` streams: to, from and between them."""
    count = source.size("hc_mult") or 1
    return count * (count + 2) * (count * source.required("hidden_size") + 1) + 3


def feeds(source: Source) -> dict[str, Any]:
    """Every layer routes; the first few by a table of tokens, which holds no parameters."""
    count, hidden = source.size("hc_mult") or 1, source.required("hidden_size")
    index = {key: source.size(key) for key in ("index_n_heads", "index_head_dim", "q_lora_rank")}
    return {
        **index,
        "intermediate_size": 0,
        "blocks": {"sparse": {"extra": streams(source)}},
        "other_params": {"streams": float(count * (count * hidden + 1) + 1)},
    }
