"""Files that cannot be read, families and keys that nobody knows: each is told, all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.config.hf import read
from compiler.errors import ConfigError
from compiler.specs.ranges import problems
from tests.hf_files import changed, data, message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    gone, broken, listed, binary = (
        tmp_path / name for name in ("gone.json", "broken.json", "list.json", "binary.json")
    )
    broken.write_text('{"model_type": "llama",')
    listed.write_text("[1]")
    binary.write_bytes(b"\xff\xfe\x00")
    assert message(gone) == (
        f"model.hf_config={gone} cannot be read: No such file or directory ; write the path of a config.json"
    )
    assert message(tmp_path).startswith(f"model.hf_config={tmp_path}/config.json cannot be read: No such file")
    assert message(broken).startswith(f"model.hf_config={broken} is not JSON: ")
    assert message(listed) == f"model.hf_config={listed} holds no JSON object ; take the model's own config.json"
    assert message(binary).startswith(f"model.hf_config={binary} line 1 holds the byte 0xff, which is not UTF-8 ; ")


@pytest.mark.parametrize("family", ["bert", None])
def test_an_unknown_family_names_the_known_ones(tmp_path: Path, family: str | None) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": family}))
    found = message(path)
    assert f"has model_type={family}, not a known family ; take a model of " in found
    assert found.endswith("families that docs/models.md lists, or write its fields as a model file")


def test_a_misspelt_family_is_answered_with_the_one_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "qwen3moe"}')
    assert "take a model of qwen3_moe, or of another of the " in message(path)


def test_a_nested_family_without_its_text_model(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "llama4"}')
    assert "has no text_config, which model_type llama4 needs ; " in message(path)


def test_every_bad_key_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    changes = {
        "hidden_size": ...,
        "num_hidden_layers": "48",
        "num_experts": True,
        "decoder_sparse_step": 0,
        "mlp_only_layers": 3,
        "tie_word_embeddings": "no",
    }
    path.write_text(json.dumps(data("qwen3_moe", **changes)))
    where = f"model.hf_config={path}"
    assert set(message(path).splitlines()) == {
        f"{where} has no hidden_size, which model_type qwen3_moe needs ; take the model's own config.json",
        f"{where} has num_hidden_layers='48' ; write a whole number, 1 or more",
        f"{where} has num_experts=True ; write a whole number, 1 or more",
        f"{where} has decoder_sparse_step=0 ; write a whole number, 1 or more",
        f"{where} has mlp_only_layers=3 ; write a list of int values",
        f"{where} has tie_word_embeddings='no' ; write true or false",
    }


def test_counts_have_ceilings_and_lists_an_end(tmp_path: Path) -> None:
    """What is counted out while a file is read is bounded before, and messages quote no more than the start of a value."""
    path = tmp_path / "config.json"
    changes = {
        "num_hidden_layers": 10**9,
        "vocab_size": 10**400,
        "mlp_only_layers": [1] * 5000,
        "num_experts": "9" * 5000,
    }
    path.write_text(json.dumps(data("qwen3_moe", **changes)))
    where = f"model.hf_config={path}"
    assert set(message(path).splitlines()) == {
        f"{where} has num_hidden_layers=1000000000 ; write at most 4096",
        f"{where} has vocab_size=1{'0' * 59}... (401 characters) ; write at most 2147483647",
        f"{where} has 5000 entries in mlp_only_layers ; write at most 4096",
        f"{where} has num_experts='{'9' * 59}... (5,002 characters) ; write a whole number, 1 or more",
    }


def test_a_model_of_a_file_has_the_ranges_of_any_other(tmp_path: Path) -> None:
    model = changed(tmp_path, "llama", vocab_size=10**9)
    assert [str(found) for found in problems(model, "model")] == [
        "model.vocab_size=1000000000 is above 67108864 ; write at most 67108864"
    ]


def test_a_home_is_found_and_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    for place in (tmp_path, tmp_path / "mine"):
        (place / "config.json").write_text(json.dumps(data("llama", _name_or_path=...)))
        (place / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}')
    found = {path: read(path) for path in ("~", "~/config.json", "~/mine", "~/mine/config.json")}
    assert {model.precision for model in found.values()} == {"nvfp4"}
    assert [model.name for model in found.values()] == ["llama", "llama", "mine", "mine"]
    with pytest.raises(ConfigError, match="cannot be read"):
        read("~nobody-of-this-name/config.json")


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_numbers_that_are_none_matter_where_they_are_used(tmp_path: Path, number: str) -> None:
    path, text = tmp_path / "llama.json", json.dumps(data("llama"))
    path.write_text(f'{text[:-1]}, "time_step_limit": [0.0, {number}]}}')
    found = read(str(path))
    assert found == changed(tmp_path, "llama")
    path.write_text(text.replace('"hidden_size": ', f'"hidden_size": {number}, "was": '))
    assert "has hidden_size=" in message(path)
    assert " ; write a whole number, 1 or more" in message(path)


def test_an_unknown_word_of_layer_types_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data("mistral", layer_types=["full_attention"] * 31 + ["mystery"])))
    assert (
        "has mystery in layer_types, which model_type mistral does not know ; write one of full_attention"
        in message(path)
    )
    path.write_text(json.dumps(data("mistral", layer_types=["full_attention"])))
    assert "has 1 entries in layer_types for 32 layers ; write one a layer" in message(path)


def test_values_of_other_kinds_are_quoted_short(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "x" * 5000}))
    assert len(message(path)) < 500 + len(str(path))
    path.write_text(json.dumps({"model_type": ["llama"]}))
    assert "not a known family" in message(path)
