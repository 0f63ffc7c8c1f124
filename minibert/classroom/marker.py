"""A process of the grader's pool: it marks one file after another, and says how far it is.

It is started as a file in Python's isolated mode, so that nothing is imported from the folder in which the grader was
started, or from the one with the submissions. Options and requests come as lines of JSON on stdin, answers go to
stdout.
"""

import json
import os
import signal
import sys


def main(options: dict) -> None:
    # What the grader itself imports from, without those folders; the package comes from exactly where it is.
    sys.path[:] = options["path"]
    import ctypes
    import importlib.util
    from pathlib import Path

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # be killed when the grader ends
        if os.getppid() != options["parent"]:
            os._exit(1)
    folder = Path(options["package"])
    spec = importlib.util.spec_from_file_location(
        "minibert", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["minibert"] = package
    spec.loader.exec_module(package)
    from minibert.classroom.pool import serve

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what is printed by mistake must not mix with the answers
    serve(options, sys.stdin, answers)


if __name__ == "__main__":
    main(json.loads(sys.stdin.readline()))
