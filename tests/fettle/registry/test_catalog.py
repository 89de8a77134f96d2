import json
from pathlib import Path
from typing import Any

import pytest

from fettle.errors import NotFound, Unavailable
from fettle.registry import catalog
from fettle.registry.catalog import BaseModelEntry, CatalogError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SIZES = {"parameters": 1000, "length": 512}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalog.json"


def refusal(file: Path, content: Any) -> str:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(CatalogError) as refused:
        catalog.load(file)
    message = str(refused.value)
    assert message.startswith(f"FETTLE_CATALOG={file}: ")
    assert "\n" not in message
    return message


class TestLoad:
    def test_without_a_file_there_is_the_starter(self) -> None:
        assert list(catalog.load(None)) == ["starter"]

    def test_the_operators_entries_join_the_built_in_ones(self, file: Path) -> None:
        entries = {
            "acme/tiny": {"path": "/models/tiny", **SIZES},
            "acme/big": {"hub": "acme/big", "revision": COMMIT, **SIZES, "license": "mit"},
        }
        file.write_text(json.dumps(entries))
        found = catalog.load(file)
        assert list(found) == ["starter", "acme/tiny", "acme/big"]
        assert found["acme/tiny"].path == Path("/models/tiny")
        assert found["acme/big"].revision == COMMIT
        assert "acme/tiny" not in catalog.BUILT_IN

    def test_an_entry_may_take_the_starters_place(self, file: Path) -> None:
        file.write_text(json.dumps({"starter": {"path": "/mine", **SIZES}}))
        assert catalog.load(file)["starter"].path == Path("/mine")

    def test_a_missing_file_is_named(self, file: Path) -> None:
        with pytest.raises(CatalogError, match=f"FETTLE_CATALOG={file}: No such file"):
            catalog.load(file)

    def test_a_broken_line_is_named(self, file: Path) -> None:
        assert "line 2 is not JSON" in refusal(file, '{\n"a": }')

    def test_a_file_that_is_no_text_is_told_so(self, file: Path) -> None:
        file.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(CatalogError, match="not UTF-8"):
            catalog.load(file)

    @pytest.mark.parametrize("content", [[], "5", "null", '"text"'])
    def test_anything_but_an_object_is_told_so(self, file: Path, content: Any) -> None:
        assert "maps names to entries" in refusal(file, content)

    @pytest.mark.parametrize("name", ["", "  ", "a:b", "ft:starter:x::y"])
    def test_a_name_that_could_be_a_tuned_models_is_refused(self, file: Path, name: str) -> None:
        assert repr(name) in refusal(file, {name: {"path": "/x", **SIZES}})

    @pytest.mark.parametrize(
        ("entry", "says"),
        [
            ({"path": "/x", "length": 512}, "its files cannot tell: /x/config.json cannot be read"),
            ({"hub": "acme/x", "revision": COMMIT}, "Add both numbers, or run `fettle models add`"),
            ({"path": "/x", **SIZES, "pat": 1}, "Unknown parameter: 'acme/x.pat'"),
            ({"path": "/x", **SIZES, "length": 0}, "'acme/x.length': 0. Use a number above 0."),
            ({"path": "/x", **SIZES, "parameters": -1}, "'acme/x.parameters': -1. Use"),
            ({**SIZES}, "Give either 'path' (a local folder) or 'hub'"),
            ({"path": "/x", "hub": "acme/x", "revision": COMMIT, **SIZES}, "Give either 'path'"),
            ({"hub": "acme/x", **SIZES}, "pinned 'revision' of 40 hex digits, not None"),
            ({"hub": "acme/x", "revision": "main", **SIZES}, "pinned 'revision' of 40 hex digits, not 'main'"),
            ({"hub": "acme/x", "revision": COMMIT[:7], **SIZES}, f"not '{COMMIT[:7]}'"),
            ({"hub": "acme/x", "revision": COMMIT.upper(), **SIZES}, "not '0123456789ABCDEF"),
            ("/x", "Use a JSON object."),
        ],
    )
    def test_a_bad_entry_is_named_with_what_is_wrong(self, file: Path, entry: Any, says: str) -> None:
        message = refusal(file, {"acme/x": entry})
        assert "'acme/x" in message
        assert says in message


class TestAdd:
    def test_the_file_is_made_and_read_back(self, tmp_path: Path) -> None:
        file = tmp_path / "data" / "catalog.json"
        entry = BaseModelEntry(path=Path("/models/tiny"), license="mit", **SIZES)
        catalog.add(file, "acme/tiny", entry)
        assert catalog.load(file)["acme/tiny"] == entry
        assert [path.name for path in file.parent.iterdir()] == ["catalog.json"]

    def test_other_entries_stay_and_one_of_that_name_is_replaced(self, file: Path) -> None:
        other = {"path": "/models/other", **SIZES}
        file.write_text(json.dumps({"tiny": {"path": "/old", **SIZES}, "other": other}))
        catalog.add(file, "tiny", BaseModelEntry(path=Path("/new"), **SIZES))
        assert json.loads(file.read_text())["other"] == other
        assert catalog.load(file)["tiny"].path == Path("/new")

    def test_a_file_that_cannot_be_used_is_left_as_it_is(self, file: Path) -> None:
        file.write_text('{"tiny": ')
        with pytest.raises(CatalogError, match="line 1 is not JSON"):
            catalog.add(file, "other", BaseModelEntry(path=Path("/new"), **SIZES))
        assert file.read_text() == '{"tiny": '


class TestFind:
    def test_an_unknown_name_lists_what_there_is(self) -> None:
        entries = {"b": catalog.BUILT_IN["starter"], "a": catalog.BUILT_IN["starter"]}
        assert catalog.find(entries, "a") is entries["a"]
        with pytest.raises(NotFound, match=r"'gpt-4o' does not exist on this server. Choose one of: a, b\.") as refused:
            catalog.find(entries, "gpt-4o")
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


class TestLocalPath:
    def test_a_folder_with_a_model_is_used_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors").write_bytes(b"")
        (tmp_path / "pytorch_model.bin").write_bytes(b"")  # beside safetensors nobody reads it
        assert catalog.local_path(BaseModelEntry(path=tmp_path, **SIZES)) == tmp_path

    def test_the_starter_is_there(self) -> None:
        assert (catalog.local_path(catalog.BUILT_IN["starter"]) / "model.safetensors").is_file()

    def test_a_folder_without_a_model_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(Unavailable, match=rf"{tmp_path} has no config.json"):
            catalog.local_path(BaseModelEntry(path=tmp_path, **SIZES))

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.ckpt", "weights.pkl"])
    def test_weights_that_come_only_as_a_pickle_are_refused(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(Unavailable, match=rf"{tmp_path} has only pickled weights \({name}\).*Convert them"):
            catalog.local_path(BaseModelEntry(path=tmp_path, **SIZES))

    def test_a_folder_without_any_weights_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(Unavailable, match=rf"{tmp_path} has no \.safetensors file"):
            catalog.local_path(BaseModelEntry(path=tmp_path, **SIZES))

    @pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
    def test_a_model_that_brings_its_own_code_is_refused(self, tmp_path: Path, file: str) -> None:
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors").write_bytes(b"")
        (tmp_path / file).write_text('{"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}}')
        with pytest.raises(Unavailable, match=rf"needs custom code \(auto_map: AutoModelForCausalLM in {file}\)"):
            catalog.local_path(BaseModelEntry(path=tmp_path, **SIZES))

    def test_so_is_one_from_the_hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hub = pytest.importorskip("huggingface_hub")
        (tmp_path / "config.json").write_text('{"auto_map": {"AutoConfig": "x.Y"}}')
        monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
        with pytest.raises(Unavailable, match=rf"acme/tiny@{COMMIT} cannot be used.*never run"):
            catalog.local_path(BaseModelEntry(hub="acme/tiny", revision=COMMIT, **SIZES))

    def test_without_a_network_the_hub_entry_says_the_way_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        constants = pytest.importorskip("huggingface_hub.constants")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        entry = BaseModelEntry(hub="acme/tiny", revision=COMMIT, **SIZES)
        with pytest.raises(Unavailable, match=rf"acme/tiny@{COMMIT} is not in the local cache") as refused:
            catalog.local_path(entry)
        assert "set the entry's 'path' to a folder" in refused.value.message
        assert refused.value.retry

    def test_only_weights_and_words_are_fetched(self) -> None:
        allowed = {pattern.rsplit(".")[-1] for pattern in catalog.WEIGHTS}
        assert allowed.isdisjoint({"bin", "pt", "pth", "pkl", "py", "*"})


class TestAliases:
    def test_those_that_mean_a_base_model_are_taken(self) -> None:
        meant = {"gpt-4o-mini": "starter", "acme/small": "starter"}
        assert catalog.check_aliases(meant, catalog.BUILT_IN) == meant

    @pytest.mark.parametrize(
        ("aliases", "says"),
        [
            ({"gpt-4o": "llama"}, "'gpt-4o' stands for 'llama', which is not a base model. Choose one of: starter"),
            ({"a": "b", "b": "starter"}, "'a' stands for 'b', which is not a base model"),
            ({"starter": "starter"}, "'starter' is the name of a base model"),
            ({"ft:gpt-4o:x::y": "starter"}, "the alias 'ft:gpt-4o:x::y' is not valid"),
            ({" ": "starter"}, "is not valid"),
        ],
    )
    def test_any_other_is_refused_with_the_reason(self, aliases: dict[str, str], says: str) -> None:
        with pytest.raises(CatalogError, match=r"^FETTLE_MODEL_ALIASES: ") as refused:
            catalog.check_aliases(aliases, catalog.BUILT_IN)
        assert says in refused.value.message


def test_the_linear_layers_of_a_base_are_read_from_its_weights() -> None:
    attention, mlp = {"q_proj", "k_proj", "v_proj", "o_proj"}, {"gate_proj", "up_proj", "down_proj"}
    assert catalog.linear_layers(catalog.BUILT_IN["starter"]) == attention | mlp


def test_of_a_base_that_is_not_here_they_are_not_known() -> None:
    entry = catalog.BaseModelEntry(hub="a/b", revision="0" * 40, parameters=1, length=1)
    assert catalog.linear_layers(entry) is None
