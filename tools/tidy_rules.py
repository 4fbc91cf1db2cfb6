"""The rules of tools/tidy. Each takes a Tree and yields Findings; tidy_test.py breaks each one once to prove it."""
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# The one order of folders under src/. A folder includes only itself and folders to its left.
ROOMS = ["base", "version", "budget", "proto", "tier", "capacity", "origin", "change", "bus", "cache", "invalidation", "monitor",
         "controller", "warm", "server", "io", "sim", "app"]
# A function longer than this needs a line in tools/tidy.ratchet, and that number may only fall.
# Seventy lines are what one screen shows without scrolling.
FUNCTION_LINES_MAX = 70
RATCHET = "tools/tidy.ratchet"
SKIPPED_FOLDERS = {".git", "build", "var", "node_modules", ".cache", "__pycache__"}
ALLOW = re.compile(r"tidy: allow\([^)]+\)")


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


class Tree:
    """The files of the project as text, read once. Ignored and built files are not part of it."""

    def __init__(self, root):
        self.root = Path(root)
        self.texts = {}
        for path in self._paths():
            try:
                self.texts[path] = (self.root / path).read_text()
            except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
                continue  # pictures and corpora: no rule reads them
        self._code = {}

    def _paths(self):
        listed = subprocess.run(["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard", "-z"],
                                capture_output=True, text=True, check=False)
        if listed.returncode == 0 and (self.root / ".git").exists():
            return sorted(p for p in set(listed.stdout.split("\0")) if p)
        found = (p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file())
        return sorted(str(p) for p in found if not SKIPPED_FOLDERS & set(p.parts))

    def cpp(self):
        return [p for p in self.texts if p.endswith((".h", ".cc")) and p.split("/")[0] in
                ("src", "bench", "tests", "include", "examples")]

    def code(self, path):
        """The file with comments and the insides of strings blanked; lines and columns stay."""
        if path not in self._code:
            self._code[path] = blank_comments_and_strings(self.texts[path])
        return self._code[path]

    def allowed(self, path, line):
        """The comment stands on the line, above it, or below it where the formatter broke a long statement."""
        lines = self.texts[path].splitlines()
        return any(0 <= i < len(lines) and ALLOW.search(lines[i]) for i in (line - 1, line - 2, line))


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def blank_comments_and_strings(text):
    def blank(match):
        token = match[0]
        before = text[match.start() - 1:match.start()]
        if token[0] == "'" and before.isalnum():
            return token  # a digit separator: 100'000
        if token[0] in "\"'":
            return token[0] + " " * (len(token) - 2) + token[-1]
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(blank, re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "_", text))


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


# ---- folders ----

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def room_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def includes(tree, path):
    for match in INCLUDE.finditer(tree.texts[path]):
        yield match[1], line_of(tree.texts[path], match.start())


def check_folder_order(tree):
    for path in tree.cpp():
        room = room_of(path)
        if room is None:
            continue
        if room not in ROOMS:
            yield Finding(path, 1, "folder-order", f"'{room}' is not a room; the rooms are {', '.join(ROOMS)}")
            continue
        for name, line in includes(tree, path):
            other = name.split("/")[0]
            if other not in ROOMS or "/" not in name:
                continue
            if other == room:
                continue
            if ROOMS.index(other) > ROOMS.index(room):
                yield Finding(path, line, "folder-order", f"{room} is left of {other} and must not include it")
            elif other == "io" and room != "app":
                yield Finding(path, line, "folder-order", f"only app includes io; take the seam through base instead")
            elif other == "sim" and room != "app":
                yield Finding(path, line, "folder-order", "only app includes sim")
            elif room == "io" and other != "base":
                yield Finding(path, line, "folder-order", "io includes only base")


def check_dead_headers(tree):
    included = set()
    for path in tree.cpp():
        for name, _ in includes(tree, path):
            included.update({f"src/{name}", f"include/{name}", str(Path(path).parent / name)})
    for path in tree.cpp():
        if path.startswith("src/") and path.endswith(".h") and path not in included:
            yield Finding(path, 1, "dead-header", "nobody includes it: remove it, or use it")


def check_pragma_once(tree):
    for path in tree.cpp():
        if path.endswith(".h") and not re.search(r"^#pragma once$", tree.texts[path], re.MULTILINE):
            yield Finding(path, 1, "pragma-once", "a header starts with #pragma once")


# What begins a line at the scope of a namespace: a function, or a constant.
AT_SCOPE = re.compile(r"^(?:\[\[nodiscard\]\] )?(?:(?:inline|constexpr|static|extern|template <[^\n]*>) )*"
                      r"(?!return|using|namespace|struct|class|enum|union|else|if|for|while|switch|case|friend|typedef|#)"
                      r"[A-Za-z_][\w:<>,*& ]*?[ *&](\w+)(?:\(| =|\[)", re.MULTILINE)
NAMESPACE = re.compile(r"^namespace (candor[\w:]*) \{", re.MULTILINE)
UNNAMED = re.compile(r"^namespace \{$(.*?)^\}  // namespace$", re.MULTILINE | re.DOTALL)


def can_include(path, header):
    return room_of(header) in ROOMS and ROOMS.index(room_of(header)) <= ROOMS.index(room_of(path))


def check_hidden_names(tree):
    """Files of a room are compiled as one: what one of them calls by a header's name must not be its neighbour's own."""
    declared = {}  # name -> {(namespace, header)}
    for path in tree.cpp():
        if path.startswith("src/") and path.endswith(".h"):
            code = blank_comments_and_strings(tree.texts[path])
            space = NAMESPACE.search(code)
            for match in AT_SCOPE.finditer(code) if space else ():
                declared.setdefault(match[1], set()).add((space[1], path))
    for path in tree.cpp():
        if room_of(path) not in ROOMS or not path.endswith(".cc") or path.endswith("_main.cc"):
            continue
        code = blank_comments_and_strings(tree.texts[path])
        space = NAMESPACE.search(code)
        for part in UNNAMED.finditer(tree.texts[path]) if space else ():
            for match in AT_SCOPE.finditer(code[part.start(1):part.end(1)]):
                headers = [header for outer, header in declared.get(match[1], ())
                           if (space[1] + "::").startswith(outer + "::") and can_include(path, header)]
                if headers:
                    yield Finding(path, line_of(code, part.start(1) + match.start(1)), "hidden-name",
                                  f"{match[1]} is declared in {sorted(headers)[0]} as well, and hides it from the files that are compiled with "
                                  "this one: use that, or another name")


NAME = re.compile(r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")
FREE_NAMES = {"README.md", "CMakeLists.txt", "Dockerfile"}


def check_file_names(tree):
    for path in tree.texts:
        parts = path.split("/")
        if parts[0] in ("src", "bench") or (parts[0] == "tests" and path.endswith((".h", ".cc", ".py"))):
            for part in parts[1:]:
                if part not in FREE_NAMES and not NAME.match(part):
                    yield Finding(path, 1, "file-name", f"'{part}': files and folders are in snake_case")


# ---- calls that belong to io ----

WORLD = [  # (what, pattern, why and what instead)
    ("wall clock", r"\b(system_clock|steady_clock|high_resolution_clock|gettimeofday|clock_gettime)\b|std::time\s*\(|(?<![\w.>:])time\s*\(\s*(NULL|nullptr|0)?\s*\)",
     "time comes in through base/time.h"),
    ("randomness", r"std::s?rand\b|(?<![\w.>:])s?rand\s*\(|\brandom_device\b|\bmt19937|\bdrand48\b|\bgetrandom\b",
     "randomness comes in through base/random.h"),
    ("sleeping", r"this_thread::sleep|\busleep\b|\bnanosleep\b|(?<![\w.>:])sleep\s*\(",
     "await sleep_for(executor, …) of base/task.h"),
    ("sockets", r"(?<![\w>.)])::(socket|bind|listen|accept4?|connect|sendto|recvfrom|getaddrinfo|setsockopt|poll|select)\s*\(|\bepoll_(create1?|ctl|wait)\b|\bio_uring_\w+",
     "the network comes in through base/transport.h and base/acceptor.h"),
    ("sockets", r"#\s*include\s*<(sys/socket|netinet/[a-z_]+|arpa/inet|netdb|sys/epoll|liburing|poll|sys/select)(\.h)?>",
     "the network comes in through base/transport.h and base/acceptor.h"),
    ("environment", r"\b(secure_)?getenv\b|(?<![\w.>:])(popen|system|fork|vfork|execv[pe]*|execl[pe]*)\s*\(|std::system\b",
     "settings come in through the configuration"),
]
THREADS = ("threads", r"std::(recursive_|timed_|shared_|recursive_timed_)?mutex\b|std::(lock_guard|unique_lock|scoped_lock|shared_lock|condition_variable(_any)?|j?thread|async)\b",
           "use base/mutex.h, an Executor or a BlockingPool")
OUTPUT = ("output", r"std::(cout|cerr|printf|puts)\b|(?<![\w.>:])(printf|puts|fprintf)\s*\(|fmt::print\b",
          "only programs write to the terminal; log through spdlog")


def check_banned_calls(tree):
    for path in tree.cpp():
        room = room_of(path)
        if room in (None, "io") or path.endswith(("_bench.cc",)):
            continue
        rules = list(WORLD)
        if not path.endswith("_test.cc"):
            rules.append(THREADS)
            if room != "app":
                rules.append(OUTPUT)
        code = tree.code(path)
        for what, pattern, instead in rules:
            for match in re.finditer(pattern, code):
                yield Finding(path, line_of(code, match.start()), "banned-call", f"{what} outside io: {instead}")


# ---- length ratchet ----

def function_lengths(code):
    """(first line, lines) of each function body's definition, by matching braces. Good enough to keep order by."""
    code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", lambda m: re.sub(r"[^\n]", " ", m[0]), code, flags=re.MULTILINE)
    scopes, text, begin, found = [], "", None, []
    for offset, char in enumerate(code):
        if char == "{":
            kind = scope_kind(text, scopes)
            scopes.append((kind, begin if begin is not None else offset))
            if kind != "initializer":
                text, begin = "", None
        elif char == "}":
            if not scopes:
                return found  # unbalanced (macros): give up on the rest
            kind, start = scopes.pop()
            if kind == "function" and not any(k in ("function", "inner") for k, _ in scopes):
                first = line_of(code, start)
                found.append((first, line_of(code, offset) - first + 1))
            if kind != "initializer":
                text, begin = "", None
        elif char == ";" and (not scopes or scopes[-1][0] != "initializer"):
            text, begin = "", None
        elif char == ":" and text.strip() in ("public", "private", "protected"):
            text, begin = "", None
        else:
            if begin is None and not char.isspace():
                begin = offset
            text += char
    return found


def scope_kind(text, scopes):
    if scopes and scopes[-1][0] in ("function", "inner", "initializer"):
        return scopes[-1][0] if scopes[-1][0] == "initializer" else "inner"
    head = re.sub(r"\s+", " ", text).strip()
    if re.match(r"(inline )?namespace\b|extern\b", head) and "(" not in head:
        return "namespace"
    plain = re.sub(r"\([^()]*\)", "", re.sub(r"template ?<[^{]*?> ?(?=class|struct|union|enum|requires|[A-Za-z])", "", head))
    if re.search(r"\b(class|struct|union|enum)\b", plain.split(":")[0]) and not re.search(r"\)\s*(const|noexcept|override|->.*)?$", head):
        return "type"
    if "(" not in head or head.endswith(("=", ",", "(", "return")):
        return "initializer"
    if re.search(r"\)[^()]*:[^:]", head) and re.search(r"[\w>]$", head) and not re.search(r"\b(const|noexcept|override|final|mutable)$", head):
        return "initializer"  # a member's braces in a constructor's list: `: a_{1} {`
    return "function"


def longest_functions(tree):
    longest = {}
    for path in tree.cpp():
        for line, count in function_lengths(tree.code(path)):
            if count > longest.get(path, (0, 0))[0]:
                longest[path] = (count, line)
    return longest


def read_ratchet(tree):
    limits = {}
    for line in tree.texts.get(RATCHET, "").splitlines():
        if line.strip() and not line.startswith("#"):
            path, count = line.rsplit(None, 1)
            limits[path] = int(count)
    return limits


def check_function_length(tree):
    limits = read_ratchet(tree)
    longest = longest_functions(tree)
    for path, (count, line) in sorted(longest.items()):
        limit = max(limits.get(path, 0), FUNCTION_LINES_MAX)
        if count > limit and not tree.allowed(path, line):
            yield Finding(path, line, "function-length", f"{count} lines, the limit here is {limit}: cut the function where its levels of work part")
    for path, limit in limits.items():
        now = longest.get(path, (0, 0))[0]
        if now < limit:
            yield Finding(RATCHET, 1, "function-length", f"{path} is down to {now} lines from {limit}: run tools/tidy --ratchet to keep it there")


def lower_ratchet(tree):
    """Writes the ratchet anew: entries fall or go, none rises, none is added."""
    longest = longest_functions(tree)
    lines = ["# The longest function of each file that has one above the common limit. Numbers only fall;",
             "# tools/tidy --ratchet lowers them. New code has no entry here."]
    for path, limit in sorted(read_ratchet(tree).items()):
        now = min(limit, longest.get(path, (0, 0))[0])
        if now > FUNCTION_LINES_MAX:
            lines.append(f"{path} {now}")
    (tree.root / RATCHET).write_text("\n".join(lines) + "\n")


# ---- what must not leave a workplace ----

ABSOLUTE = re.compile(r"(?<![\w.~-])/(work|root|home)/[\w.]")
HOSTS = re.compile(r'"resolved"\s*:|registry\.|npmjs|yarnpkg')


def check_absolute_paths(tree):
    for path, text in tree.texts.items():
        if path.startswith("tools/tidy"):
            continue
        for match in ABSOLUTE.finditer(text):
            yield Finding(path, line_of(text, match.start()), "absolute-path", "a path of one machine: name it from the project's root")


def check_lock_files(tree):
    for path, text in tree.texts.items():
        if path.endswith("package-lock.json"):
            for match in HOSTS.finditer(text):
                yield Finding(path, line_of(text, match.start()), "lock-file", "names a registry: npm with omit-lockfile-registry-resolved=true leaves it out")


# ---- dependencies ----

def check_dependencies(tree):
    listed = tree.texts.get("docs/dependencies.md", "")
    for path, text in tree.texts.items():
        if path != "CMakeLists.txt" and not path.startswith("cmake/"):
            continue
        plain = re.sub(r"#[^\n]*", "", text)
        for match in re.finditer(r"find_package\((\w[\w-]*)|pkg_check_modules\(\w+[^)]*?(\w[\w.+-]*)\)|find_library\(\w+ (\w+)", plain):
            name = next(filter(None, match.groups()))
            if name not in ("candor", "PkgConfig") and f"`{name}`" not in listed:
                yield Finding(path, line_of(plain, match.start()), "dependency", f"docs/dependencies.md has no line for `{name}`")
    scripts = tree.texts.get("scripts/lib.sh", "")
    for match in re.finditer(r'^packages_\w+="([^"]*)"', scripts, re.MULTILINE):
        for name in match[1].split():
            if f"`{name}`" not in listed:
                yield Finding("scripts/lib.sh", line_of(scripts, match.start()), "dependency", f"docs/dependencies.md has no line for `{name}`")


# ---- format ----

def check_format(tree):
    files = [p for p in tree.cpp() if (tree.root / p).exists()]
    if not files:
        return
    done = subprocess.run(["clang-format-19", "--dry-run", "-Werror", "--style=file", *files], cwd=tree.root,
                          capture_output=True, text=True, check=False)
    seen = set()
    for match in re.finditer(r"^(.+?):(\d+):\d+: error:", done.stderr, re.MULTILINE):
        if match[1] not in seen:
            seen.add(match[1])
            yield Finding(match[1], int(match[2]), "format", "run clang-format-19 -i on it")


RULES = {
    "folder-order": check_folder_order,
    "dead-header": check_dead_headers,
    "pragma-once": check_pragma_once,
    "hidden-name": check_hidden_names,
    "file-name": check_file_names,
    "banned-call": check_banned_calls,
    "function-length": check_function_length,
    "absolute-path": check_absolute_paths,
    "lock-file": check_lock_files,
    "dependency": check_dependencies,
    "format": check_format,
}


def findings(tree, rule):
    return [f for f in RULES[rule](tree) if not (f.path in tree.texts and tree.allowed(f.path, f.line))]


def main(root, arguments):
    if arguments == ["--list"]:
        print("\n".join(RULES))
        return 0
    tree = Tree(root)
    if arguments == ["--ratchet"]:
        lower_ratchet(tree)
        return 0
    unknown = [a for a in arguments if a not in RULES]
    if unknown:
        print(f"unknown rule {unknown[0]}; there are: {', '.join(RULES)}")
        return 2
    found = [f for rule in arguments or RULES for f in findings(tree, rule)]
    for finding in found:
        print(finding)
    return 1 if found else 0
