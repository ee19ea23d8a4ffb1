"""The child process of ``page_process.start_page``."""

import sys

from idskit.page.page_process import run_child

if __name__ == "__main__":
    sys.exit(run_child())
