"""What an adapter was trained on: the identity of base model and tokenizer, and the check before it answers."""

from __future__ import annotations

from pathlib import Path

from flywheel.api.conditions import Reason
from flywheel.data.tokens import BaseIdentity, Contract, TaskTokens
from flywheel.workspace.adapter import CONTRACT
from flywheel.workspace.digest import digest_json, digest_stream
from flywheel.workspace.program import BadInputError

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")


def contract_of(tokens: TaskTokens, folder: Path, dtype: str) -> Contract:
    """The contract of this base model, tokenizer and task."""
    base = BaseIdentity(
        weights=_digest_of(sorted(folder.glob("*.safetensors")), folder),
        config=_digest_of([folder / "config.json"], folder),
        dtype=dtype,
    )
    files = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    return tokens.contract(base, _digest_of(files, folder))


def differing(adapter: Path, own: Contract) -> list[str]:
    """In what the contract that the adapter was trained under differs; the compute type may."""
    trained = Contract.model_validate_json((adapter / CONTRACT).read_bytes())
    free = {"base": {"dtype"}}
    left, right = trained.model_dump(exclude=free), own.model_dump(exclude=free)
    return sorted(name for name in left if left[name] != right[name])


def check_contract(adapter: Path, own: Contract) -> None:
    """Raises BadInputError where the adapter was trained under another contract."""
    if others := differing(adapter, own):
        raise BadInputError(
            f"the adapter's {CONTRACT} differs from this student and task in {', '.join(others)}: "
            "it was trained for another model, tokenizer or template",
            Reason.CONTRACT_DIFFERS,
        )


def _digest_of(files: list[Path], folder: Path) -> str:
    if not files:
        raise BadInputError(f"{folder.name}: the model has no safetensors weights or no tokenizer file", "ModelMissing")
    digests: dict[str, str] = {}
    for file in files:
        with file.open("rb") as stream:
            digests[file.name] = digest_stream(stream)
    return digest_json(digests)
