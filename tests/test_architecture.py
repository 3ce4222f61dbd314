"""The rooms of the package, who may import whom, how large code may grow, and the public message fields."""

import ast
import difflib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "instascene_ros"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(), str(path)) for path in FILES}

# room -> rooms it may import besides itself
MAY_IMPORT = {
    "core": set(),
    "models": {"core"},
    "adapters": {"core", "models"},
    "nodes": {"core", "models", "adapters"},
    "tools": {"core", "models"},
}
ROS_ROOMS = {"adapters", "nodes"}
ROS_MODULES = {"rclpy", "tf2_ros", "cv_bridge", "ament_index_python", "launch", "launch_ros", "message_filters"}
# library -> the files or folders that may import it, each with one module that does
HOMES = {
    "gsplat": ("core/rendering/gsplat_backend.py",),
    "open3d": ("core/meshing.py", "tools/scene_generator/"),  # the generator makes scenes, it does not ship results
    "rosbags": ("core/bag_file.py",),
    "coacd": ("core/convex_parts.py",),
    "diffusers": ("models/diffusers_prior.py", "models/diffusers_inpainter.py"),
    "transformers": ("models/",),
    "detectron2": ("models/",),
    "mujoco": ("tools/scene_generator/",),
}
# Not on every machine: importing our module must not need them.
OPTIONAL_ROS = {"cv_bridge", "tf2_ros", "vision_msgs", "moveit_msgs"}
OPTIONAL = {"gsplat", "rosbags", "diffusers", "transformers", "detectron2", "mujoco", "coacd"} | OPTIONAL_ROS

MAX_FUNCTION_LINES, MAX_FILE_LINES, MAX_MEDIAN_FILE_LINES = 80, 250, 120
USUAL_FUNCTION_LINES, MIN_USUAL_SHARE = 40, 0.9


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str | None:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import, at the top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write absolute imports"
            yield node.lineno, node.module
            if node.module == "instascene_ros":
                yield from ((node.lineno, f"instascene_ros.{alias.name}") for alias in node.names)


def imported_at_load(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports that run when the module is loaded: not those in functions or under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(ast.Module([node], []))
        else:
            yield from imported_at_load(node)


def is_ros(module: str) -> bool:
    top = module.split(".")[0]
    generated = module.split(".")[:2] in (["instascene_ros", kind] for kind in ("msg", "srv", "action"))
    return generated or top in ROS_MODULES or top.endswith(("_msgs", "_interfaces", "_srvs"))


def fail_with(problems: list[str], rule: str) -> None:
    assert not problems, f"{rule}:\n  " + "\n  ".join(problems)


def test_imports_point_one_way() -> None:
    problems = []
    for path, tree in TREES.items():
        room = room_of(path)
        for line, module in imported(tree):
            target = module.split(".")[1] if module.startswith("instascene_ros.") else None
            if room in MAY_IMPORT and target in MAY_IMPORT and target not in MAY_IMPORT[room] | {room}:
                problems.append(f"{name_of(path)}:{line} imports {module}")
    fail_with(problems, "core <- models <- adapters <- nodes; tools uses core and models")


def test_every_module_lives_in_a_room() -> None:
    strays = [name_of(path) for path in FILES if room_of(path) not in MAY_IMPORT and path != PACKAGE / "__init__.py"]
    fail_with(strays, f"modules outside the rooms {sorted(MAY_IMPORT)}")


def test_only_adapters_and_nodes_know_ros() -> None:
    problems = [
        f"{name_of(path)}:{line} imports {module}"
        for path, tree in TREES.items()
        for line, module in imported(tree)
        if is_ros(module) and room_of(path) not in ROS_ROOMS
    ]
    fail_with(problems, "ROS belongs into adapters/ and nodes/")


@pytest.mark.parametrize("library", HOMES)
def test_heavy_library_stays_at_home(library: str) -> None:
    users = {name_of(path) for path, tree in TREES.items() for _, m in imported(tree) if m.split(".")[0] == library}
    fail_with(sorted(u for u in users if not u.startswith(HOMES[library])), f"{library} belongs into {HOMES[library]}")
    for home in HOMES[library]:
        at_home = sorted(user for user in users if user.startswith(home))
        assert len(at_home) <= 1, f"{library} is imported by more than one module: {at_home}"


def test_optional_libraries_are_imported_when_used() -> None:
    problems = [
        f"{name_of(path)}:{line} imports {module}"
        for path, tree in TREES.items()
        for line, module in imported_at_load(tree)
        if module.split(".")[0] in OPTIONAL
    ]
    fail_with(problems, "optional libraries are imported inside the function that needs them")


@pytest.mark.parametrize("module", ["instascene_ros.core", "instascene_ros.core.pipeline", "instascene_ros.models"])
def test_core_loads_without_ros_and_open3d(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'rclpy', 'open3d', 'gsplat'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"import {module} loads heavy libraries"


# Everybody's, whatever the namespace: REP-107, simulated time, and RViz's own topic for clicks.
ABSOLUTE_NAMES = {"/diagnostics", "/clock", "/clicked_point"}


def test_names_of_topics_and_services_are_relative() -> None:
    """An absolute name would make two robots in one network talk to each other."""
    makers = ("create_publisher", "create_subscription", "create_service", "create_client")
    made = [
        (f"{name_of(path)}:{call.lineno}", getattr(call.args[1], "value", ""))
        for path, tree in TREES.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in makers and len(call.args) > 1
    ]
    assert len(made) >= 20
    absolute = [f"{where}: {n}" for where, n in made if str(n).startswith("/") and n not in ABSOLUTE_NAMES]
    fail_with(absolute, "names are relative to the namespace")


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name_of(path)}:{node.lineno} {node.name}", node


def lines_of(function: ast.FunctionDef) -> int:
    return function.end_lineno - function.lineno + 1


def test_functions_are_short() -> None:
    sizes = {where: lines_of(function) for where, function in functions()}
    too_long = [f"{where} has {lines} lines" for where, lines in sizes.items() if lines > MAX_FUNCTION_LINES]
    fail_with(too_long, f"at most {MAX_FUNCTION_LINES} lines")
    longer = sorted(((n, w) for w, n in sizes.items() if n > USUAL_FUNCTION_LINES), reverse=True)
    share = 1 - len(longer) / len(sizes)
    assert share >= MIN_USUAL_SHARE, f"only {share:.0%} have at most {USUAL_FUNCTION_LINES} lines: {longer}"


def test_files_are_short() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in FILES}
    fail_with([f"{w} has {n} lines" for w, n in sizes.items() if n > MAX_FILE_LINES], f"at most {MAX_FILE_LINES} lines")
    assert statistics.median(sizes.values()) <= MAX_MEDIAN_FILE_LINES


def is_kernel(function: ast.FunctionDef) -> bool:
    """Compiled by numba or Triton, which find the types themselves: `no_type_check` and a compiling decorator."""
    decorators = " ".join(ast.dump(decorator) for decorator in function.decorator_list)
    return "no_type_check" in decorators and ("jit" in decorators or "compiled" in decorators)


def test_every_argument_is_annotated() -> None:
    problems = []
    for where, function in functions():
        if is_kernel(function):
            continue
        a = function.args
        arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        bare = [arg.arg for arg in arguments if arg.annotation is None and arg.arg not in ("self", "cls")]
        if bare:
            problems.append(f"{where}: {', '.join(bare)}")
    fail_with(problems, "arguments without a type")


def fields(path: Path) -> Iterator[str]:
    """The fields and constants of an interface file, without comments and spacing."""
    for line in path.read_text().splitlines():
        text = " ".join(line.split("#")[0].split())
        if text:
            yield f"{path.relative_to(ROOT)}: {text}"


def test_interfaces_change_only_on_purpose() -> None:
    paths = [path for kind in ("msg", "srv", "action") for path in sorted(ROOT.glob(f"{kind}/*.{kind}"))]
    found = [line for path in paths for line in fields(path)]
    listed = (ROOT / "tests/public_interfaces.txt").read_text().splitlines()
    changes = difflib.unified_diff(listed, found, "tests/public_interfaces.txt", "msg/ srv/ action/", lineterm="", n=0)
    fail_with(list(changes), "public fields changed; when that is meant, change the list and CHANGELOG.rst too")
