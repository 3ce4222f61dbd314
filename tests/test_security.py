"""Nothing that is read can run code: no pickle, no unsafe loader, no shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [path for folder in ("instascene_ros", "launch", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
# Modules that turn bytes into objects of any class, and calls that run what they are given.
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "tempfile.mktemp", "yaml.load", "yaml.unsafe_load"}
# call -> the keyword and the value without which it is not allowed
GUARDED_CALLS = {
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "np.save": ("allow_pickle", False),
}


def problems(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"line {node.lineno}: imports {n}" for n in names if n.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.Call):
            yield from call_problems(node)


def call_problems(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {k.arg: getattr(k.value, "value", "not a constant") for k in call.keywords}
    if name in FORBIDDEN_CALLS:
        yield f"line {call.lineno}: calls {name}"
    if name in GUARDED_CALLS:
        keyword, value = GUARDED_CALLS[name]
        if given.get(keyword, "missing") is not value:
            yield f"line {call.lineno}: {name} without {keyword}={value}"
    if given.get("shell", False) is not False:
        yield f"line {call.lineno}: {name} with shell"


def test_nothing_that_is_read_runs_code() -> None:
    found = [f"{path.relative_to(ROOT)}, {problem}" for path in FILES for problem in problems(path.read_text())]
    assert len(FILES) > 100 and found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import numpy as np\nnp.load(p)", "np.load(p, allow_pickle=True)",
        "torch.load(p)", "torch.load(p, weights_only=False)", "yaml.load(text)", "eval(text)",
        "subprocess.run(words, shell=True)", "os.system(words)", "np.load(p, allow_pickle=flag)",
    ],
)  # fmt: skip
def test_the_rules_catch_what_they_forbid(source: str) -> None:
    assert list(problems(source))


def test_what_is_allowed_passes() -> None:
    for allowed in (
        "np.load(p, allow_pickle=False)",
        "torch.load(p, weights_only=True)",
        "yaml.safe_load(t)",
        "run(words)",
    ):
        assert list(problems(allowed)) == []


def test_a_map_with_a_pickle_in_it_is_refused(tmp_path: Path) -> None:
    """Whoever writes maps chooses their bytes: an array of objects must not be unpickled."""
    pytest.importorskip("torch", reason="torch is not installed")
    from instascene_ros.core.errors import InvalidSceneError
    from instascene_ros.core.map_file import load_map

    path = tmp_path / "map.npz"
    with path.open("wb") as stream:
        np.savez(stream, format=np.array("instascene"), means_m=np.array([{"a": print}], dtype=object))
    with pytest.raises(InvalidSceneError):
        load_map(path)
