"""All else stands in pyproject.toml. Here: a wheel carries the learner's notebooks, so that it is the whole course."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithNotebooks(build_py):
    """In a checkout they lie beside the package, in a wheel inside it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree("notebooks", Path(self.build_lib) / "vit_course" / "notebooks", dirs_exist_ok=True)


setup(cmdclass={"build_py": WithNotebooks})
