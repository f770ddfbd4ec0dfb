"""What is uploaded: made without Docker, the same from the same, and small."""

from __future__ import annotations

import marshal
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill_cdk.bundles import bundle as bundles
from tidemill_cdk.bundles import bytecode
from tidemill_cdk.bundles.bundle import Recipe, bundle
from tidemill_cdk.problems import DeployError
from tidemill_cdk.settings import own_python

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TIDEMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "inner").mkdir(parents=True)
    (folder / "shop.py").write_text("import inner.more\n")
    (folder / "inner" / "more.py").write_text("raise ValueError('here')\n")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "much.py").write_text("")
    return folder


def recipe(code: Path, **changed: object) -> Recipe:
    given: dict[str, object] = {
        "name": "app",
        "sources": (("", code),),
        "python": own_python(),
        "architecture": "arm64",
        "place": "/var/task",
        **changed,
    }
    return Recipe(**given)  # type: ignore[arg-type]


def test_holds_sources_and_what_they_compile_to(cache: Path, code: Path) -> None:
    with zipfile.ZipFile(bundle(recipe(code)).zip) as made:
        names = set(made.namelist())
    tag = sys.implementation.cache_tag
    assert names == {
        *("shop.py", f"__pycache__/shop.{tag}.pyc"),
        *("inner/more.py", f"inner/__pycache__/more.{tag}.pyc"),
    }


def test_compiled_modules_are_not_checked_against_their_sources(cache: Path, code: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle(recipe(code)).zip) as made:
        made.extractall(tmp_path / "task")
    (tmp_path / "task" / "inner" / "more.py").write_text("raise SystemExit('compiled again')\n")
    done = subprocess.run([sys.executable, "-c", "import shop"], cwd=tmp_path / "task", capture_output=True, text=True)
    assert "ValueError: here" in done.stderr
    (compiled,) = (tmp_path / "task" / "inner" / "__pycache__").iterdir()
    assert marshal.loads(compiled.read_bytes()[16:]).co_filename == "/var/task/inner/more.py"  # as Lambda shows it


def test_the_same_bytes_from_the_same_code(
    cache: Path, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bundle(recipe(code))
    content = first.zip.read_bytes()
    first.zip.unlink()
    (code / "shop.py").touch()
    again = bundle(recipe(code))
    assert again.hash == first.hash
    assert again.zip.read_bytes() == content


def test_made_once(cache: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle(recipe(code))
    monkeypatch.setattr(bundles, "_make", None)
    assert bundle(recipe(code)).zip.exists()


def test_another_hash_for_other_code_machine_or_python(cache: Path, code: Path) -> None:
    hashes = {bundle(recipe(code, **change)).hash for change in ({}, {"architecture": "x86_64"}, {"python": "3.14"})}
    (code / "shop.py").write_text("import inner.more  # now\n")
    hashes.add(bundle(recipe(code)).hash)
    assert len(hashes) == 4


def test_packages_that_cannot_be_fetched_are_told(cache: Path, code: Path) -> None:
    requirements = code / "requirements.txt"
    requirements.write_text("tidemill-has-no-such-package==1\n--no-index\n")
    with pytest.raises(DeployError) as told:
        bundle(recipe(code, requirements=requirements, locked=False))
    assert str(requirements) in str(told.value)
    assert "no wheel for Python" in str(told.value)
    assert list(cache.glob("*.zip")) == []


def test_an_interpreter_that_is_not_here_is_none() -> None:
    assert bytecode.interpreter("3.99") is None
    assert bytecode.interpreter(own_python()) == sys.executable


# --- what is not deployed ------------------------------------------------------------------------------

SECRET = "sk_live_0123456789"
SECRETS = (
    *(".env", ".env.production", ".npmrc", ".pypirc", ".netrc", "inner/.env", ".aws/credentials", ".ssh/id_rsa"),
    *("id_rsa", "id_ed25519.old", "inner/id_ecdsa", "server.pem", "inner/server.key", "store.p12", "credentials.json"),
    *("data/tidemill.db", "data/blobs/1", "env/pyvenv.cfg", "env/lib/much.py", "node_modules/a.js", "cdk.out/x.json"),
)


def held(made: Path) -> set[str]:
    with zipfile.ZipFile(made) as archive:
        assert not any(SECRET.encode() in archive.read(name) for name in archive.namelist())
        return {name for name in archive.namelist() if "__pycache__" not in name}


def put(folder: Path, name: str, text: str = SECRET) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_keys_caches_and_data_stay_on_the_machine(cache: Path, code: Path) -> None:
    for name in SECRETS:
        put(code, name)
    assert held(bundle(recipe(code)).zip) == {"shop.py", "inner/more.py"}


def test_an_ignore_file_leaves_out_more_and_lets_in_again(cache: Path, code: Path) -> None:
    for name in ("dump.csv", "inner/dump.csv", "notes/a.txt", "inner/notes/b.txt", "ca.pem", "fixtures/x.json"):
        put(code, name, "text")
    put(code, ".tidemillignore", "# not for Lambda\n*.csv\n/notes/\nfixtures/*\n!ca.pem\n")
    kept = {"shop.py", "inner/more.py", "inner/notes/b.txt", "ca.pem"}
    assert held(bundle(recipe(code)).zip) == kept


def test_a_link_within_is_its_file_and_one_that_leads_out_is_refused(cache: Path, code: Path, tmp_path: Path) -> None:
    (code / "also.py").symlink_to(code / "shop.py")
    assert held(bundle(recipe(code)).zip) == {"shop.py", "also.py", "inner/more.py"}
    put(tmp_path, "elsewhere/secret.py")
    for name, target in (("out.py", "elsewhere/secret.py"), ("folder", "elsewhere")):
        (code / name).symlink_to(tmp_path / target)
        with pytest.raises(DeployError, match="leads out of the folder that is deployed") as told:
            bundle(recipe(code))
        assert str(code / name) in str(told.value)
        (code / name).unlink()


def test_synth_lists_what_is_deployed_at_a_word(cache: Path, code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(code, ".env")
    bundle(recipe(code))
    assert capsys.readouterr().err == ""
    bundle(recipe(code, listed=True))
    lines = capsys.readouterr().err.splitlines()
    assert {"  + shop.py", "  + inner/more.py", "  - .env", "  - .venv"} <= set(lines)


# --- the layer, as the stacks of the session hold it ---------------------------------------------------


@pytest.fixture(scope="session")
def layer(synthesized: Path) -> Path:
    (found,) = [path for path in synthesized.glob("asset.*.zip") if "python/tidemill/__init__.py" in names_in(path)]
    return found


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_layer_is_small(layer: Path) -> None:
    assert layer.stat().st_size < 10 * MIB


def test_the_layer_is_for_lambdas_processor(layer: Path) -> None:
    native = [name for name in names_in(layer) if name.endswith(".so")]
    assert {name.split("/")[1] for name in native} >= {"pydantic_core", "msgspec", "cel"}
    assert {("aarch64" in name or "abi3" in name) for name in native} == {True}


def test_every_module_of_the_layer_is_compiled(layer: Path) -> None:
    names = set(names_in(layer))
    tag = sys.implementation.cache_tag
    sources = [name for name in names if name.endswith(".py")]
    missing = [
        name for name in sources if f"{name.rpartition('/')[0]}/__pycache__/{Path(name).stem}.{tag}.pyc" not in names
    ]
    assert missing == []


@pytest.mark.parametrize(
    "name", ["requirements-layer.txt", "requirements-schemas.txt", "requirements-lambdas.txt", "requirements-wasm.txt"]
)
def test_what_is_pinned_is_what_is_tested(name: str) -> None:
    def pins(path: Path) -> dict[str, frozenset[str]]:
        entries = re.findall(r"^([a-z0-9-]+==\S+)[^\n]*((?:\n    --hash=\S+[^\n]*)+)", path.read_text(), re.MULTILINE)
        return {pin: frozenset(re.findall(r"--hash=(\S+)", hashes)) for pin, hashes in entries}

    locked = pins(ROOT / "requirements-dev.lock")
    own = pins(ROOT / "cdk" / "bundles" / name)
    assert own
    assert {pin: locked.get(pin) for pin in own} == own
