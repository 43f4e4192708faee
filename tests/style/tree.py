"""Which files the style checks look at: what git tracks, or would track; the whole tree where there is no git."""
import os
import subprocess

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def files():
    """Paths relative to the root, sorted."""
    try:
        output = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"], check=True,
                                capture_output=True, text=True).stdout
        found = [path for path in output.split("\0") if path]
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [name for name in folders if not name.startswith((".", "build")) and name != "__pycache__"]
            found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return sorted(path for path in set(found) if os.path.isfile(os.path.join(ROOT, path)))


def sources(*endings):
    """The C sources (.c, .h, .inc unless told otherwise)."""
    return [path for path in files() if path.endswith(endings or (".c", ".h", ".inc"))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()
