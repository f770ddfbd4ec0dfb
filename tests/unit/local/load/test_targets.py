"""TARGETs: what is imported, under which name, and what is said when it cannot be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.runtimes import extras
from tidemill_local.load import mistakes, sources, targets
from tidemill_local.load.definitions import DefinitionsError
from tidemill_local.load.targets import TargetError

APP = "from tidemill import App\napp = App({name!r})\n@app.function(on='x')\ndef f(ctx): ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A project; what it imports is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def names(folder: Path, *given: str) -> list[str]:
    return [app.name for app in targets.load(given, folder).apps]


def test_a_module_a_file_and_a_folder(folder: Path) -> None:
    write(folder, tt_shop=APP.format(name="shop"), sub__in__tt_mail=APP.format(name="mail"))
    assert names(folder, "tt_shop:app", "sub/tt_mail.py") == ["shop", "mail"]
    assert names(folder, ".") == ["shop"]
    assert names(folder) == ["shop"]
    assert sorted(targets.load(("tt_shop.py", "sub"), folder).functions()) == ["mail.f", "shop.f"]


def test_a_file_is_executed_once_however_it_is_reached(folder: Path) -> None:
    count = "import os\nos.environ['TT_LOADS'] = os.environ.get('TT_LOADS', '') + 'x'\n"
    write(
        folder,
        tt_core=count + APP.format(name="core"),
        tt_uses="from tt_core import app\nfrom tidemill import App\nother = App('other')\n",
    )
    monkey = pytest.MonkeyPatch()
    monkey.delenv("TT_LOADS", raising=False)
    try:
        assert names(folder, "tt_uses.py", "tt_core.py", "tt_core:app", ".") == ["core", "other"]
        import os

        assert os.environ["TT_LOADS"] == "x"
    finally:
        monkey.undo()
        import os

        os.environ.pop("TT_LOADS", None)


def test_a_file_in_a_package_is_a_module_of_it(folder: Path) -> None:
    write(
        folder,
        tt_pack__in____init__="",
        tt_pack__in__tool="HI = 1\n",
        tt_pack__in__main="from tt_pack.tool import HI\n" + APP.format(name="p"),
    )
    assert names(folder, "tt_pack/main.py") == ["p"]
    assert "tt_pack.main" in sys.modules


def test_two_files_of_one_name_are_two_modules(folder: Path) -> None:
    write(folder, one__in__app=APP.format(name="one"), two__in__app=APP.format(name="two"))
    assert names(folder, "one/app.py", "two/app.py") == ["one", "two"]


def test_a_folder_imports_only_what_makes_an_app(folder: Path) -> None:
    write(
        folder,
        tt_a="import tidemill as t\nif True:\n    app = t.App('a')\n",
        tt_b="from tidemill import App as Application\napp = Application('b')\n",
        tt_c="from tidemill import *\napp = App('c')\n",
        tt_script="raise RuntimeError('tidemill App')\n",
        tt_factory="from tidemill import App\nraise RuntimeError\ndef make(): return App('no')\n",
    )
    assert names(folder, ".") == ["a", "b", "c"]


def test_pyproject_names_the_targets(folder: Path) -> None:
    write(folder, tt_x=APP.format(name="x"), tt_y=APP.format(name="y"))
    (folder / "pyproject.toml").write_text('[tool.tidemill]\ntargets = ["tt_y.py"]\n')
    assert names(folder) == ["y"]
    (folder / "pyproject.toml").write_text('[tool.tidemill]\ntargets = "tt_y.py"\n')
    with pytest.raises(TargetError, match="is a list of texts"):
        names(folder)


HTTP = '{{"id": "{}", "steps": {{"a": {{"runtime": {{"type": "http", "url": "https://example.com"}}}}}}}}'


def test_the_definitions_of_all_targets_are_one_app(folder: Path) -> None:
    write(folder, tt_shop=APP.format(name="shop"))
    (folder / "sub").mkdir()
    (folder / "a.function.json").write_text(HTTP.format("first"))
    (folder / "sub" / "a.function.json").write_text(HTTP.format("second"))
    (folder / "sub" / "b.function.json").write_text(HTTP.format("third"))
    loaded = targets.load((".", "sub", "sub/b.function.json"), folder)
    assert [app.name for app in loaded.apps] == ["shop", "definitions"]
    assert sorted(loaded.functions()) == ["first", "second", "shop.f", "third"]
    assert len(loaded.files) == 3
    assert targets.load(("sub/b.function.json",), folder).functions().keys() == {"third"}


def test_what_a_definition_is_made_of(folder: Path) -> None:
    (folder / "steps" / "sms" / "lib").mkdir(parents=True)
    for name in ("steps/sms/Dockerfile", "steps/sms/lib/x.py", "steps/sms/.hidden", "steps/n.wasm"):
        (folder / name).touch()
    (folder / "steps" / "sms" / "__pycache__").mkdir()
    (folder / "steps" / "sms" / "__pycache__" / "x.pyc").touch()
    (folder / "a.function.json").write_text(
        '{"id": "a", "steps": {"s": {"path": "./steps/sms", "runtime": {"type": "docker"}},'
        ' "n": {"path": "./steps/n.wasm", "runtime": {"type": "wasm"}}}}'
    )
    loaded = targets.load((".",), folder)
    made_of = ["a.function.json", "steps/n.wasm", "steps/sms/Dockerfile", "steps/sms/lib/x.py"]
    assert loaded.files == [str(folder / name) for name in made_of]
    assert loaded.places == [str(folder / "steps" / "n.wasm"), str(folder / "steps" / "sms")]
    before = sources.version(loaded.files)
    (folder / "steps" / "sms" / "Dockerfile").write_text("FROM x")
    assert sources.version(loaded.files) != before


def test_what_a_definition_lacks_is_noted_when_it_is_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "step").mkdir()
    (folder / "n.wasm").write_bytes(b"")
    arn = '"arn": "arn:aws:lambda:eu-west-1:123456789012:function:f"'
    (folder / "a.function.json").write_text(
        '{"id": "a", "triggers": [{"event": "e"}], "steps": {"n": {"path": "./n.wasm", "runtime": {"type": "wasm"}},'
        f' "far": {{"runtime": {{"type": "lambda", {arn}}}}},'
        ' "near": {"path": "./step", "runtime": {"type": "lambda"}}}}'
    )
    assert targets.load((), folder, programs=True).notes == []
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    notes = targets.load((), folder, programs=True).notes
    assert [note.partition(" cannot")[0] for note in notes] == ["a: step 'n'", "a: step 'near'"]
    assert all(f"pip install 'tidemill[{kind}]'" in note for kind, note in zip(("wasm", "lambda"), notes, strict=True))
    assert targets.load((), folder).notes == []


def test_bad_definitions_are_explained_a_line_for_each_problem(folder: Path) -> None:
    (folder / "a.function.json").write_text('{"id": "a", "nme": 1, "steps": {"s": {}}}')
    (folder / "b.function.json").write_text("{")
    with pytest.raises(DefinitionsError) as raised:
        targets.load((".",), folder)
    first, second, third = mistakes.explain(raised.value, folder).splitlines()
    assert first == f"{folder}/a.function.json: nme: is not known here; did you mean 'name'?"
    assert second == f"{folder}/a.function.json: steps.s.runtime: is missing"
    assert third.startswith(f"{folder}/b.function.json: line 1, column 2: is not JSON")
    assert mistakes.spots(raised.value) == [str(folder)]


def test_an_id_twice_in_two_folders_names_both_files(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "a.function.json").write_text(HTTP.format("same"))
    with pytest.raises(
        DefinitionsError, match=r"two/a.function.json: id: 'same' is the id of .*one/a.function.json too"
    ):
        targets.load(("one", "two"), folder)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("gone.py", "there is no file gone.py"),
        ("gone.function.json", "there is no file gone.function.json"),
        ("gone", "there is no folder gone"),
        ("gone:app", "there is no module gone on the path"),
        ("tt_plain.py", "defines no App"),
        ("tt_plain:app", "has no app"),
        ("tt_plain:value", "is of type int, not an App"),
        (".", "no .py file directly in this folder defines an App"),
    ],
)
def test_a_target_that_is_none_is_explained(folder: Path, target: str, problem: str) -> None:
    write(folder, tt_plain="value = 1\n")
    with pytest.raises(TargetError, match=problem):
        targets.load((target,), folder)


def test_one_app_name_twice_is_refused(folder: Path) -> None:
    write(folder, tt_1=APP.format(name="same"), tt_2=APP.format(name="same"))
    with pytest.raises(TargetError, match="two apps are named 'same'"):
        targets.load((), folder).functions()


@pytest.mark.parametrize(
    ("code", "explained"),
    [
        (
            "from tidemill import App\napp = App('x')\nboom()\n",
            "tt_bad.py, line 3: boom()\nNameError: name 'boom' is not defined",
        ),
        ("from tidemill import App\ndef (:\n", "tt_bad.py, line 2: def (:\nSyntaxError: "),
        (
            "from tidemill import App\nimport tt_nowhere\n",
            "tt_bad.py, line 2: import tt_nowhere\nModuleNotFoundError: ",
        ),
        (
            "from tidemill import App\nraise SystemExit(3)\n",
            "tt_bad.py, line 2: raise SystemExit(3)\nthe file ends the process",
        ),
        ("from tidemill import App\napp = App('')\n", "tt_bad.py, line 2: app = App('')\nApp(''): "),
    ],
)
def test_code_that_cannot_be_imported_is_explained_by_its_place(folder: Path, code: str, explained: str) -> None:
    write(folder, tt_bad=code)
    with pytest.raises(BaseException) as caught:  # noqa: PT011  whatever the user's code raises
        targets.load(("tt_bad.py",), folder)
    assert mistakes.explain(caught.value, folder).startswith(explained)


@pytest.mark.parametrize("code", ["def (:\n", "1 / 0\n"])
def test_a_file_that_cannot_be_imported_is_one_to_watch(folder: Path, code: str) -> None:
    (folder / "tt_parts").mkdir()
    write(folder, tt_parts__in__tt_used=code, tt_main="import tt_parts.tt_used\n" + APP.format(name="m"))
    with pytest.raises((SyntaxError, ZeroDivisionError)) as caught:
        targets.load(("tt_main.py",), folder)
    assert str(folder / "tt_parts" / "tt_used.py") in mistakes.files(caught.value)


def test_the_users_own_files_make_the_version(folder: Path) -> None:
    before = set(sys.modules)
    write(folder, tt_used="HI = 1\n", tt_main="import tt_used, wave\n" + APP.format(name="m"))
    targets.load(("tt_main.py",), folder)
    files = sources.of_modules(before)
    assert files == [str((folder / name).resolve()) for name in ("tt_main.py", "tt_used.py")]
    version = sources.version(files)
    write(folder, tt_used="HI = 2\n")
    assert sources.version(files) != version
