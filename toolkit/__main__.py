"""``python -m idskit`` is ``idskit``."""

from idskit.cli import main

if __name__ == "__main__":
    main()
