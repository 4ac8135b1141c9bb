"""The one folder the course keeps on a machine."""

import os
from pathlib import Path


def home() -> Path:
    """The course's own folder: `$VIT_COURSE_HOME`, else `~/.vit_course`.

    It holds `progress.json` and `data/` (downloaded images). The folder is not created here: whoever writes makes it.
    """
    return Path(os.environ.get("VIT_COURSE_HOME") or "~/.vit_course").expanduser()
