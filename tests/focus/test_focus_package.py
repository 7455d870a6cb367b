import subprocess
import sys

from dynfocus import focus


def test_public_names_are_sorted_and_exist() -> None:
    assert list(focus.__all__) == sorted(focus.__all__)
    assert all(getattr(focus, name).__doc__ for name in focus.__all__)


def test_the_network_imports_no_other_room() -> None:
    code = (
        "import sys; from dynfocus.focus import *; "
        "print(*(n for n in sys.modules if n.startswith(('dynfocus.', 'transformers', 'av'))))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    rooms = {".".join(name.split(".")[:2]) for name in output}
    leaves = {"dynfocus.extensions", "dynfocus.validation", "dynfocus.text"}
    assert rooms == {"dynfocus.focus", *leaves}
