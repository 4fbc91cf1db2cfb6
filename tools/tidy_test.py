"""tools/tidy as a test: the project is clean by every rule, and every rule notices when it is broken."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tidy_rules as tidy  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def project():
    return tidy.Tree(ROOT)


@pytest.mark.parametrize("rule", tidy.RULES)
def test_project_is_clean(project, rule):
    assert [str(f) for f in tidy.findings(project, rule)] == []


LONG = "int f() {\n" + "  g();\n" * tidy.FUNCTION_LINES_MAX + "}\n"

# rule -> (files of a small tree, the file that must be found)
BROKEN = {
    "folder-order, rightwards": ("folder-order", {"src/base/a.h": '#pragma once\n#include "cache/b.h"\n'}, "src/base/a.h"),
    "folder-order, io from a room": ("folder-order", {"src/sim/a.cc": '#include "io/loop.h"\n'}, "src/sim/a.cc"),
    "folder-order, io beyond base": ("folder-order", {"src/io/a.cc": '#include "tier/l2.h"\n'}, "src/io/a.cc"),
    "folder-order, new room": ("folder-order", {"src/misc/a.cc": "\n"}, "src/misc/a.cc"),
    "dead-header": ("dead-header", {"src/base/a.h": "#pragma once\n"}, "src/base/a.h"),
    "pragma-once": ("pragma-once", {"src/base/a.h": "int a;\n"}, "src/base/a.h"),
    "hidden-name": ("hidden-name", {"src/app/a.h": "namespace candor::app {\n[[nodiscard]] std::string printable(std::string_view text);\n}\n",
                                    "src/app/b.cc": "namespace candor::app {\nnamespace {\n\nstd::string printable(std::string_view text) {\n  return {};\n}\n\n"
                                                    "}  // namespace\n}  // namespace candor::app\n"}, "src/app/b.cc"),
    "hidden-name, of an outer namespace": ("hidden-name", {"src/base/a.h": "namespace candor {\ninline constexpr int kMost = 1;\n}\n",
                                                           "src/app/b.cc": "namespace candor::app {\nnamespace {\nconstexpr int kMost = 2;\n}  // namespace\n}\n"},
                                           "src/app/b.cc"),
    "file-name": ("file-name", {"src/base/BadName.cc": "\n"}, "src/base/BadName.cc"),
    "wall clock": ("banned-call", {"src/base/a.cc": "auto t = std::chrono::system_clock::now();\n"}, "src/base/a.cc"),
    "time(nullptr)": ("banned-call", {"src/base/a.cc": "auto t = time(nullptr);\n"}, "src/base/a.cc"),
    "rand": ("banned-call", {"src/base/a.cc": "int r = rand();\n"}, "src/base/a.cc"),
    "sleep": ("banned-call", {"src/base/a.cc": "std::this_thread::sleep_for(1s);\n"}, "src/base/a.cc"),
    "sleep in a test": ("banned-call", {"src/base/a_test.cc": "usleep(5);\n"}, "src/base/a_test.cc"),
    "socket": ("banned-call", {"src/tier/a.cc": "int s = ::socket(1, 2, 3);\n"}, "src/tier/a.cc"),
    "socket header": ("banned-call", {"src/tier/a.cc": "#include <sys/socket.h>\n"}, "src/tier/a.cc"),
    "bare mutex": ("banned-call", {"src/cache/a.cc": "std::mutex m;\n"}, "src/cache/a.cc"),
    "bare thread": ("banned-call", {"src/cache/a.cc": "std::thread t;\n"}, "src/cache/a.cc"),
    "getenv": ("banned-call", {"src/app/a.cc": 'auto v = getenv("HOME");\n'}, "src/app/a.cc"),
    "printing": ("banned-call", {"src/cache/a.cc": 'printf("x");\n'}, "src/cache/a.cc"),
    "function-length": ("function-length", {"src/base/a.cc": LONG}, "src/base/a.cc"),
    "ratchet not lowered": ("function-length", {"tools/tidy.ratchet": "src/base/a.cc 200\n", "src/base/a.cc": LONG}, "tools/tidy.ratchet"),
    "absolute-path": ("absolute-path", {"docs/a.md": "see /ro" "ot/x\n"}, "docs/a.md"),
    "lock-file": ("lock-file", {"web/package-lock.json": '{"resolved": "x"}\n'}, "web/package-lock.json"),
    "dependency": ("dependency", {"CMakeLists.txt": "find_package(Boost REQUIRED)\n"}, "CMakeLists.txt"),
    "package": ("dependency", {"scripts/lib.sh": 'packages_build="g++ cowsay"\n'}, "scripts/lib.sh"),
    "format": ("format", {"src/base/a.cc": "int   a ;\n", ".clang-format": "BasedOnStyle: Google\n"}, "src/base/a.cc"),
}


def small_tree(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tidy.Tree(folder)


@pytest.mark.parametrize("case", BROKEN)
def test_breaking_it_is_noticed(tmp_path, case):
    rule, files, where = BROKEN[case]
    assert where in [f.path for f in tidy.findings(small_tree(tmp_path, files), rule)]


def test_a_reason_exempts_a_line(tmp_path):
    tree = small_tree(tmp_path, {"src/cache/a.cc": "// tidy: allow(the test of the rule)\nstd::mutex m;\nint x;\nstd::mutex n;\n"})
    assert [f.line for f in tidy.findings(tree, "banned-call")] == [4]


def test_comments_strings_and_members_are_not_calls(tmp_path):
    text = '// rand() and std::mutex\nconst char* s = "time(nullptr) getenv";\nint x = dice.rand();\nint n = 100\'000;\n'
    assert tidy.findings(small_tree(tmp_path, {"src/cache/a.cc": text}), "banned-call") == []


def test_leftward_includes_are_fine(tmp_path):
    tree = small_tree(tmp_path, {"src/cache/a.cc": '#include "base/b.h"\n#include "tier/c.h"\n', "src/app/d.cc": '#include "io/e.h"\n'})
    assert tidy.findings(tree, "folder-order") == []


def test_lengths_of_functions_are_counted():
    code = ("namespace a {\nclass B : public C {\n public:\n  B() : x_{1}, y_(2) {\n    f();\n  }\n"
            "  int g() const { return 1; }\n  std::array<int, 2> z_{1, 2};\n};\n\ntemplate <class T>\nint h(T t) {\n  if (t) {\n    g();\n  }\n}\n}\n")
    assert [count for _, count in tidy.function_lengths(code)] == [3, 1, 6]


def test_the_ratchet_never_rises(tmp_path):
    tree = small_tree(tmp_path, {"tools/tidy.ratchet": "src/base/a.cc 71\n", "src/base/a.cc": LONG + LONG.replace("g();", "g();\n  h();")})
    tidy.lower_ratchet(tree)
    assert "src/base/a.cc 71" in (tmp_path / "tools/tidy.ratchet").read_text()
