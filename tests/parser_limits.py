"""Ranges that a parser leaves unchecked, and outside of which no program runs: sizes and counts of what a step works in, shares, ports.

By the last part of an option's name, the same in every framework; the first that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ANYTHING = ""

LIMITS: Sequence[tuple[str, str]] = (
    # Names that look like those below, and have a value that switches something off or leaves it to the program.
    (r"chunked_prefill_size|offload_group_size|data_parallel_shard_degree|dcn_.*|ici_.*|rollout_.*", ANYTHING),
    (r".*global_batch_size_to.*|eval_batch_size|.*buffer_size.*|.*cache_size.*|mhc_.*|.*_for_(vit|audio)", ANYTHING),
    (r"(train_micro|global|.*per_device)_batch_size|base_moe_mlp_dim|gdn_.*|vision_.*", ANYTHING),
    (r"indexer_batch_size|ddp_bucket_size|min_offloaded_tensor_size|.*_memory_ratio|.*_glu_interleave_size", ANYTHING),
    # Sizes of grids, batches and models.
    (r"[a-z_]*(tp|pp|dp|cp|ep)_size|ep|nnodes|.*_(parallel_size|degree|weight_shards)", ">=1"),
    (r"(.*_)?(batch|page|block|hidden|vocab|context|group|interleave|latent)_sizes?", ">=1"),
    (r"max_(running|queued)_requests|max_total_tokens|max_position_embeddings|max_target_length", ">=1"),
    (r"context_length|(.*_)?(seq_len|seq_length)|kv_channels|num_attention_heads|num_query_groups|num_layers", ">=1"),
    (r"kv_cache_memory_bytes|max_model_len|max_num_batched_tokens|max_num_scheduled_tokens", ">=1"),
    (r"(base_)?(emb|mlp|moe_mlp)_dim|base_num_.*|head_dim|moe_router_topk|num_gpu_blocks_override", ">=1"),
    (r"cuda_graph_(max_)?bs_.*|.*cudagraph_capture_sizes|num_virtual_stages_per_pipeline_rank", ">=1"),
    (r"num_layers_per_virtual_pipeline_stage|num_distributed_optimizer_instances|recompute_num_layers", ">=1"),
    (r"microbatch_group_size_per_virtual_pipeline_stage|muon_num_ns_steps|make_vocab_size_divisible_by", ">=1"),
    (r"speculative_(num_steps|eagle_topk|num_draft_tokens)|max_lora_rank|max_loras_per_batch|gpu_id_step", ">=1"),
    (r"(stream|scheduler_recv|log|prefill_schedule)_interval|log_freq|gc_freq|log_period", ">=1"),
    (r"pipeline_parallel_(layers_per_stage|microbatch_size)|num_continuous_decode_steps", ">=1"),
    # What may be none at all.
    (
        r"max_cudagraph_capture_size|node_rank|base_gpu_id|.*_gb|.*num_redundant_experts|offload_prefetch_step|.*_size_(gb|mb)",
        ">=0",
    ),
    (r"train_iters|train_samples|.*warmup_(iters|samples|steps)|mtp_num_layers|lr|min_lr|weight_decay", ">=0"),
    (r"(clip_grad|max_norm|gradient_clipping_threshold)", ">=0 <=inf"),
    # Shares and ports.
    (r"mem_fraction_static", ">0 <1"),
    (r".*(_dropout|_fraction|_percent)|hierarchical_.*_ratio|adam_(beta|b)[12]|sgd_momentum|muon_momentum", ">=0 <=1"),
    (r".*_port|port", ">=0 <=65535"),
)


def limited(name: str, kind: str) -> str:
    """What an option takes, with the range that its name says where it is a number and says none itself."""
    if not re.match(r"(many )?(int|whole|float)\b", kind) or re.search(r"[<>]", kind):
        return kind
    last = name.lstrip("-").rpartition(".")[2].replace("-", "_")
    limit = next((limit for names, limit in LIMITS if re.fullmatch(names, last)), ANYTHING)
    head, choices, rest = kind.partition(" in ")
    return f"{head} {limit}".strip() + choices + rest
