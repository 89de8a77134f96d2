import io
from pathlib import Path

from rich.console import Console

from fettle.cli import token_view
from fettle.settings import Settings
from tests.fettle.cli.conftest import Shell


class TestPreview:
    def test_a_file_is_shown_as_it_would_be_trained_on(self, shell: Shell, tmp_path: Path) -> None:
        table = tmp_path / "sums.csv"
        table.write_text("prompt,completion\n2 + 3 = ?,5\n[bold]\x1b[2J,6\n")
        out = shell.ok("preview", str(table), "--max-seq-length", "16")
        assert "2 + 3 = ?<|im_end|>" in out
        assert "5<|im_end|>" in out
        assert "[bold]�[2J" in out  # neither markup nor the terminal's own commands
        assert "2 rows (csv, prompt_completion)" in out
        assert "2 rows have more than 16 tokens" in out

    def test_what_is_learned_stands_out(self, tmp_path: Path) -> None:
        table = tmp_path / "sums.csv"
        table.write_text("prompt,completion\n2 + 3 = ?,5\n")
        console = Console(force_terminal=True, color_system="standard", width=100, file=io.StringIO())
        seen = token_view.of_path(table, "starter", Settings(), limit=1, max_seq_length=None)
        token_view.show(seen, console)
        assert isinstance(console.file, io.StringIO)
        out = console.file.getvalue()
        assert "\x1b[1;32m5\x1b[0m" in out
        assert "\x1b[2massistant\x1b[0m" in out

    def test_mistakes_are_one_sentence(self, shell: Shell, tmp_path: Path) -> None:
        bad = tmp_path / "bad.jsonl"
        bad.write_text('{"prompt": "x", "completion": null}\n')
        assert "Line 1, completion: The row has no 'completion'." in shell.refused("preview", str(bad))
        assert "does not exist" in shell.refused("preview", str(tmp_path / "none.jsonl"))
        assert "'gpt-9'" in shell.refused("preview", str(bad), "--model", "gpt-9")
        good = tmp_path / "good.csv"
        good.write_text("prompt,completion\n2 + 3 = ?,5\n")
        shell.set(MODEL_ALIASES='{"mini": "starter"}')
        plain = shell.ok("preview", str(good))
        assert shell.ok("preview", str(good), "--model", "ft:starter:acme:s:abc") == plain
        assert shell.ok("preview", str(good), "--model", "mini") == plain

    def test_quality_is_shown_with_lines_and_what_two_files_share(self, shell: Shell, tmp_path: Path) -> None:
        train, valid = tmp_path / "train.csv", tmp_path / "valid.csv"
        train.write_text("prompt,completion\n2 + 3 = ?,5\n2 + 3 = ?,6\nMail?,ann@uni-x.org\n")
        valid.write_text("prompt,completion\nNew?,7\n2 + 3 = ?,5\n")
        out = shell.ok("preview", str(train), "--quality", "--valid", str(valid))
        assert "3 rows. Characters of a row: 11 to 19, median 11." in out
        assert "prefers what this one rejects: 1 row. (line 3)" in out
        assert "account or person. (line 4)" in out
        assert "1 row of the validation file. (line 3)" in out
        codes = [each["code"] for each in shell.json("preview", str(train), "--quality")["findings"]]
        assert codes == ["personal_data", "conflicting_answers"]
        assert "Nothing stands out." in shell.ok("preview", str(valid), "--quality")
        assert "does not exist" in shell.refused("preview", str(tmp_path / "none.jsonl"), "--quality")
